"""From a day's calls to its curated table: redacted, with split, target, and the reason if a call is not trained on."""

import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from slm_pipeline.records import AgentCall, Answer, Json, Target, response_answer, target_of
from slm_pipeline.s2_curate.funnel import drop_reason
from slm_pipeline.s2_curate.redaction import Redaction, find
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.settings import Settings

VERSION = 3  # raise it when the same calls shall be curated anew
COLUMNS = (
    "id",
    "timestamp",
    "day",
    "agent",
    "session_id",
    "client_id",
    "split",
    "request",
    "answer",
    "target_source",
    "teacher_answer",
    "outcome",
    "served_by",
    "failed_model",
    "failed_answer",
    "failed_reason",
    "drop_reason",
)
WHOLE_CALL = ("messages", "tools", "functions", "response_format")  # with the answer: what makes two calls repeats of each other


class Curated(NamedTuple):
    """`calls`: COLUMNS, sorted by timestamp and id. `funnel`: {reason: n, "kept", "calls", "redactions": {kind: n}}.
    `repeats`: the sorted 8-byte hashes of all training calls that passed the funnel, by which later days know repeats."""

    calls: pd.DataFrame
    funnel: Json
    repeats: np.ndarray


def curate_day(calls: Iterable[AgentCall], day: str, settings: Settings, seen: np.ndarray) -> Curated:
    """Curate one day. `seen`: hashes of earlier days; a training call among them, or repeated within the day, is dropped."""
    redactions: Counter[str] = Counter()
    rows = [_row(call, day, settings.split_key, redactions) for call in calls]
    rows.sort(key=lambda row: (row["timestamp"], row["id"]))
    usable = [row for row in rows if row["split"] == "train" and row["drop_reason"] is None]
    hashes = np.array([row["hash"] for row in usable], dtype=np.uint64)
    known = set(hashes[np.isin(hashes, seen)].tolist())
    for row in usable:
        if row["hash"] in known and row["failed_model"] is None:
            row["drop_reason"] = "exact_repeat"
        known.add(row["hash"])
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict.fromkeys(COLUMNS, "str") | {"timestamp": "float64"})
    reasons = Counter(row["drop_reason"] or "kept" for row in rows)
    funnel = dict(sorted(reasons.items())) | {"kept": reasons["kept"], "calls": len(rows), "redactions": dict(sorted(redactions.items()))}
    return Curated(table, funnel, np.unique(hashes))


def _row(call: AgentCall, day: str, key: str, redactions: Counter[str]) -> dict[str, Any]:
    split, target = split_of(call.session_id, key), target_of(call)
    reason = drop_reason(call, target, split)
    failure = call.failed_attempts[-1] if call.failed_attempts else None
    failed_answer = response_answer(failure.response) if failure and failure.response else None
    answer, tried = _answer(target.answer if target else None), _answer(failed_answer)
    recorded = None if call.served_by_slm else _answer(response_answer(call.response))
    redaction = Redaction(call.request, call.agent, call.session_id, key, also=(answer, recorded, tried, call.outcome))
    redactions.update(redaction.counts)
    return {
        "id": call.id,
        "timestamp": call.timestamp,
        "day": day,
        "agent": call.agent,
        "session_id": _identifier(call.session_id, key),
        "client_id": client_pseudonym(call.client_id, key),
        "split": split,
        "request": _dump(redaction.request(call.request)),
        "answer": _dump(redacted_answer(redaction, answer)),
        "target_source": target.source if target else None,
        "teacher_answer": _dump(redacted_answer(redaction, recorded)),
        "outcome": _dump(redacted_outcome(redaction, call.outcome)),
        "served_by": call.route.served_by if call.route else None,
        "failed_model": failure.model if failure else None,
        "failed_answer": _dump(redacted_answer(redaction, tried)),
        "failed_reason": redaction.data(failure.reason or failure.verdict) if failure else None,
        "drop_reason": reason,
        "hash": _hash(call, target, key) if split == "train" and reason is None else 0,
    }


def redacted_answer(redaction: Redaction, answer: Json | None) -> Json | None:
    """The answer with stand-ins; tool names stay."""
    calls = [{"name": call["name"], "arguments": redaction.data(call["arguments"])} for call in answer["tool_calls"]] if answer else None
    return answer and {"text": redaction.data(answer["text"]), "tool_calls": calls}


def redacted_outcome(redaction: Redaction, outcome: Json | None) -> Json | None:
    """The outcome with stand-ins; gold and correction are messages."""
    return outcome and {k: redaction.message(v) if k in ("gold", "correction") else redaction.data(v) for k, v in outcome.items()}


def _answer(answer: Answer | None) -> Json | None:
    return answer and {"text": answer.text, "tool_calls": [{"name": c.name, "arguments": c.arguments} for c in answer.tool_calls]}


def client_pseudonym(client_id: str, key: str) -> str:
    """What stands for a client behind S2, by which its calls are found when it is erased."""
    return f"client-{hmac.new(key.encode(), client_id.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:16]}"


def _identifier(name: str, key: str) -> str:
    """The name itself, or a keyed hash of it if it gives away personal data (an e-mail address as session, say)."""
    return f"hidden-{hmac.new(key.encode(), name.encode(), hashlib.sha256).hexdigest()[:16]}" if find(name) else name


def _hash(call: AgentCall, target: Target, key: str) -> int:
    whole = [call.agent, {k: call.request.get(k) for k in WHOLE_CALL}, _answer(target.answer)]
    return int.from_bytes(hmac.digest(key.encode(), json.dumps(whole, sort_keys=True).encode(), hashlib.sha256)[:8], "big")


def _dump(value: Json | None) -> str | None:
    # ASCII only: recorded answers may hold half a surrogate pair, which no file format takes
    return None if value is None else json.dumps(value)
