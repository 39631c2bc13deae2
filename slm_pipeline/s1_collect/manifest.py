"""A day of the call log in numbers: who called what, how often, at how many tokens. Holds no text."""

from collections import Counter

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.call_log import CallLog


def manifest_of(log: CallLog, day: str) -> Json:
    """Count the day's calls; the digest covers ids and contents, whatever their order. Tokens are None if none were recorded."""
    agents, models, served_by, sessions = Counter(), Counter(), Counter(), set()
    prompt, completion, outcomes, calls, faults = [], [], 0, 0, Counter()
    digest, (first, last) = log.fingerprint(day), log.span(day)
    for call in log.read(day):
        calls += 1
        agents[call.agent] += 1
        models[str(call.request.get("model") or call.response.get("model") or "unknown")] += 1
        served_by["slm" if call.served_by_slm else "llm"] += 1
        sessions.add(call.session_id)
        outcomes += call.outcome is not None
        usage = call.response.get("usage") or {}
        prompt.append(usage.get("prompt_tokens"))
        completion.append(usage.get("completion_tokens"))
        faults.update(_faults(call.request, call.response))
    return {
        "day": day,
        "calls": calls,
        "agents": dict(sorted(agents.items())),
        "models": dict(sorted(models.items())),
        "sessions": len(sessions),
        "outcomes": outcomes,
        "prompt_tokens": _total(prompt),
        "completion_tokens": _total(completion),
        "served_by": dict(sorted(served_by.items())),
        "faults": dict(sorted(faults.items())),
        "digest": digest,
        "first_seq": first,
        "last_seq": last,
    }


def _faults(request: Json, response: Json) -> list[str]:
    missing = [] if isinstance(request.get("messages"), list) and request["messages"] else ["request has no messages"]
    return missing if isinstance(response.get("choices"), list) and response["choices"] else [*missing, "response has no choices"]


def _total(tokens: list) -> int | None:
    known = [n for n in tokens if isinstance(n, int)]
    return sum(known) if known else None
