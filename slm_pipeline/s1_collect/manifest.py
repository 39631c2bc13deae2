"""A day of the call log in numbers: who called what, how often, at how many tokens. Holds no text."""

import hashlib
from collections import Counter

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.usage import usage_of, usage_table


def manifest_of(log: CallLog, day: str, key: str) -> tuple[Json, pd.DataFrame]:
    """Count the day's calls, and note what each used (`usage.TYPES`); counts of tokens are None if none were recorded.

    The digest covers contents, whatever their order, and is the same in every log. `key` makes pseudonyms.
    """
    used = []
    agents, models, served_by, sessions = Counter(), Counter(), Counter(), set()
    prompt, completion, outcomes, calls, failed, faults = [], [], 0, 0, 0, Counter()
    contents, (first, last) = [], log.span(day)
    for call in log.read(day):
        calls += 1
        used.append(usage_of(call, key))
        contents.append(hashlib.sha256(call.to_json().encode()).hexdigest())
        agents[call.agent] += 1
        models[str(call.request.get("model") or call.response.get("model") or "unknown")] += 1
        served_by["slm" if call.served_by_slm else "llm"] += 1
        sessions.add(call.session_id)
        outcomes += call.outcome is not None
        usage = call.response.get("usage") or {}
        prompt.append(usage.get("prompt_tokens"))
        completion.append(usage.get("completion_tokens"))
        failed += call.failed
        if call.api != "embeddings" and not call.failed:
            faults.update(_faults(call.request, call.response))
    manifest = {
        "day": day,
        "calls": calls,
        "agents": dict(sorted(agents.items())),
        "models": dict(sorted(models.items())),
        "sessions": len(sessions),
        "failed": failed,
        "outcomes": outcomes,
        "prompt_tokens": _total(prompt),
        "completion_tokens": _total(completion),
        "served_by": dict(sorted(served_by.items())),
        "faults": dict(sorted(faults.items())),
        "digest": digest(sorted(contents)),
        "first_seq": first,
        "last_seq": last,
    }
    return manifest, usage_table(used)


def _faults(request: Json, response: Json) -> list[str]:
    missing = [] if isinstance(request.get("messages"), list) and request["messages"] else ["request has no messages"]
    return missing if isinstance(response.get("choices"), list) and response["choices"] else [*missing, "response has no choices"]


def _total(tokens: list) -> int | None:
    known = [n for n in tokens if isinstance(n, int)]
    return sum(known) if known else None
