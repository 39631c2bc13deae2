"""From a day's calls to its curated table: redacted, with split, target, and the reason if a call is not trained on."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from slm_pipeline.pseudonyms import pseudonym
from slm_pipeline.records import AgentCall, Answer, Json, response_answer, target_of, teacher_answer
from slm_pipeline.s2_curate.canaries import canary_of, is_chosen, plant
from slm_pipeline.s2_curate.funnel import drop_reason
from slm_pipeline.s2_curate.redact.detection import find_structured
from slm_pipeline.s2_curate.redact.redaction import Redaction
from slm_pipeline.s2_curate.repeats import call_hash
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.settings import Settings

VERSION = 5  # raise it when the same calls shall be curated anew
TYPES = {
    "id": "str",
    "timestamp": "float64",
    "day": "str",
    "agent": "str",
    "session_id": "str",
    "client_id": "str",
    "split": "str",
    "request": "str",
    "answer": "str",
    "target_source": "str",
    "teacher_answer": "str",
    "outcome": "str",
    "served_by": "str",
    "chosen": "bool",
    "failed_model": "str",
    "failed_answer": "str",
    "failed_reason": "str",
    "drop_reason": "str",
    "tokens": "Int64",
    "cost": "float64",
}
COLUMNS = tuple(TYPES)


class Curated(NamedTuple):
    """`calls`: COLUMNS, sorted by timestamp and id. `canaries`: the same of the planted copies, with the column `leaked`: whether
    redaction left the canary in. `funnel`: {reason: n, "kept", "calls", "redactions": {kind: n}, "left": {kind: n},
    "canaries": n}. `repeats`: the hashes (uint64) of all training calls that passed the funnel, by which later days know repeats."""

    calls: pd.DataFrame
    canaries: pd.DataFrame
    funnel: Json
    repeats: np.ndarray


def curate_day(calls: Iterable[AgentCall], day: str, settings: Settings, seen: Callable[[np.ndarray], np.ndarray]) -> Curated:
    """Curate one day. `seen` says which hashes earlier days hold; a training call among them, or repeated within the day, is dropped."""
    redactions: Counter[str] = Counter()
    left: Counter[str] = Counter()
    rows, canaries = [], []
    # the tagger's products are small: threads cost more than they bring, many times more beside other load
    with threadpool_limits(1, user_api="blas"):
        for call in calls:
            row = _row(call, day, settings, redactions, left)
            rows.append(row)
            learnable = row["split"] == "train" and row["drop_reason"] is None and row["failed_model"] is None
            if learnable and is_chosen(call.id, settings.split_key, settings.canary_share):
                canaries += _canary(call, day, settings)
    rows.sort(key=lambda row: (row["timestamp"], row["id"]))
    canaries.sort(key=lambda row: (row["timestamp"], row["id"]))
    usable = [row for row in rows if row["split"] == "train" and row["drop_reason"] is None]
    hashes = np.array([row["hash"] for row in usable], dtype=np.uint64)
    known = set(hashes[seen(hashes)].tolist())
    for row in usable:
        if row["hash"] in known and row["failed_model"] is None:
            row["drop_reason"] = "exact_repeat"
        known.add(row["hash"])
    reasons = Counter(row["drop_reason"] or "kept" for row in rows)
    funnel = dict(sorted(reasons.items())) | {"kept": reasons["kept"], "calls": len(rows), "redactions": dict(sorted(redactions.items()))}
    funnel |= {"left": dict(sorted(left.items())), "canaries": len(canaries)}
    return Curated(_table(rows, TYPES), _table(canaries, TYPES | {"leaked": "bool"}), funnel, np.unique(hashes))


def _table(rows: list[dict[str, Any]], types: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _canary(call: AgentCall, day: str, settings: Settings) -> list[dict[str, Any]]:
    planted = plant(call, settings.split_key)
    if planted is None:
        return []
    row = _row(planted, day, settings, Counter(), Counter())
    value = canary_of(call.id, settings.split_key).value
    leaked = any(value in text for text in row.values() if isinstance(text, str))
    return [row | {"leaked": leaked}]


def _row(call: AgentCall, day: str, settings: Settings, redactions: Counter[str], left: Counter[str]) -> dict[str, Any]:
    key = settings.split_key
    split, target = split_of(call.session_id, key), target_of(call)
    reason = drop_reason(call, target, split)
    failure = call.failed_attempts[-1] if call.failed_attempts else None
    failed_answer = response_answer(failure.response) if failure and failure.response else None
    answer, tried = _answer(target.answer if target else None), _answer(failed_answer)
    recorded = _answer(teacher_answer(call))
    redaction = redaction_of(call, settings, also=(answer, recorded, tried, call.outcome))
    redactions.update(redaction.counts)
    texts = {
        "request": redaction.request(call.request),
        "answer": redacted_answer(redaction, answer),
        "teacher_answer": redacted_answer(redaction, recorded),
        "outcome": redacted_outcome(redaction, call.outcome),
        "failed_answer": redacted_answer(redaction, tried),
    }
    left.update(redaction.left(texts))
    usage = call.response.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    return {
        "id": call.id,
        "timestamp": call.timestamp,
        "day": day,
        "agent": call.agent,
        "session_id": _identifier(call.session_id, key),
        "client_id": pseudonym("client", call.client_id, key),
        "split": split,
        "target_source": target.source if target else None,
        "served_by": call.route.served_by if call.route else None,
        "chosen": call.chosen,
        "failed_model": failure.model if failure else None,
        "failed_reason": redaction.data(failure.reason or failure.verdict) if failure else None,
        "drop_reason": reason,
        "tokens": tokens if isinstance(tokens, int) else None,
        "cost": call.cost,
        "hash": call_hash(call, target, key) if split == "train" and reason is None else 0,
    } | {name: _dump(value) for name, value in texts.items()}


def redaction_of(call: AgentCall, settings: Settings, also: Iterable[Any]) -> Redaction:
    """The stand-ins of a call, in the form that the settings ask for: the same wherever it is redacted."""
    scope = (call.agent, call.session_id, settings.split_key)
    return Redaction(call.request, *scope, also, form=settings.stand_ins, names=settings.names_backend)


def redacted_answer(redaction: Redaction, answer: Json | None) -> Json | None:
    """The answer with stand-ins; tool names stay."""
    calls = [{"name": call["name"], "arguments": redaction.data(call["arguments"])} for call in answer["tool_calls"]] if answer else None
    return answer and {"text": redaction.data(answer["text"]), "tool_calls": calls}


def redacted_outcome(redaction: Redaction, outcome: Json | None) -> Json | None:
    """The outcome with stand-ins; gold and correction are messages."""
    return outcome and {k: redaction.message(v) if k in ("gold", "correction") else redaction.data(v) for k, v in outcome.items()}


def _answer(answer: Answer | None) -> Json | None:
    return answer and {"text": answer.text, "tool_calls": [{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]}


def _identifier(name: str, key: str) -> str:
    """The name itself, or a keyed hash of it if it gives away personal data (an e-mail address as session, say)."""
    return pseudonym("hidden", name, key) if find_structured(name) else name


def _dump(value: Json | None) -> str | None:
    # ASCII only: recorded answers may hold half a surrogate pair, which no file format takes
    return None if value is None else json.dumps(value)
