"""What each call of a day used, and what came of it: tokens, money, time, who answered. Holds no text, and people only as pseudonyms."""

import json
import math
from collections.abc import Iterable

import pandas as pd

from slm_pipeline.lake import Lake
from slm_pipeline.pseudonyms import pseudonym
from slm_pipeline.records import AgentCall, Json

RAW, USAGE = "s1_collect/raw_calls", "usage"
TYPES = {
    "id": "str",
    "client_id": "str",
    "session_id": "str",
    "timestamp": "float64",
    "agent": "str",
    "model": "str",
    "served_by": "str",
    "reason": "str",
    "release": "str",
    "prompt_tokens": "float64",
    "completion_tokens": "float64",
    "prompt_estimate": "float64",
    "completion_estimate": "float64",
    "cost": "float64",
    "latency_ms": "float64",
    "slm_ms": "float64",
    "llm_ms": "float64",
    "agrees": "float64",
}
CHARACTERS_PER_TOKEN = 4
"""Of English, by OpenAI's rule of thumb; for calls whose tokens nobody counted."""
_MOST_TOKENS = 1 << 31


def usage_of(call: AgentCall, key: str) -> Json:
    """A row of TYPES; `key` makes pseudonyms.

    `prompt_tokens`, `completion_tokens` and `cost` are the LLM's, as recorded, also those of an audit of what an SLM served; missing
    otherwise. The estimates are of the request and of the answer by their length. `slm_ms` and `llm_ms` are the time that each was
    waited for; `agrees`: 1 if the LLM, asked as an audit, says what an SLM served.
    """
    attempts = call.route.attempts if call.route else []
    slm = next((attempt for attempt in attempts if attempt.role == "slm"), None)
    audit = next((attempt for attempt in attempts if attempt.role == "teacher" and attempt.reason == "audit"), None)
    said = call.response if not call.served_by_slm else audit.response if audit else None
    usage = said.get("usage") if isinstance(said, dict) and isinstance(said.get("usage"), dict) else {}
    slm_ms = slm.latency_ms if slm else None
    waited = None if call.latency_ms is None else call.latency_ms - (slm_ms or 0)
    return {
        "id": call.id,
        "client_id": pseudonym("client", call.client_id, key),
        "session_id": pseudonym("session", call.session_id, key),
        "timestamp": call.timestamp,
        "agent": _name(call.agent),
        "model": _name(call.request.get("model") or call.response.get("model") or "unknown"),
        "served_by": call.route.served_by if call.route else None,
        "reason": call.route.reason if call.route else None,
        "release": call.route.release if call.route else None,
        "prompt_tokens": _count(usage.get("prompt_tokens")),
        "completion_tokens": _count(usage.get("completion_tokens")),
        "prompt_estimate": _estimate([call.request.get("messages"), call.request.get("tools")]),
        "completion_estimate": _estimate(_messages(call.response)),
        "cost": None if call.served_by_slm or call.cost is None or not math.isfinite(call.cost) else call.cost,
        "latency_ms": call.latency_ms,
        "slm_ms": slm_ms,
        "llm_ms": (audit.latency_ms if audit else None) if call.served_by_slm else waited,
        "agrees": getattr(audit, "agrees", None),
    }


def usage_table(rows: Iterable[Json]) -> pd.DataFrame:
    """TYPES, in the order of the log."""
    return pd.DataFrame(list(rows), columns=list(TYPES)).astype(TYPES)


def read_usage(lake: Lake) -> pd.DataFrame:
    """TYPES of all days that are booked, oldest first."""
    days = (lake.read(RAW, day) for day in lake.partitions(RAW))
    return pd.concat([usage_table([]), *(day.table(USAGE) for day in days if f"{USAGE}.parquet" in day.files)], ignore_index=True)


def _messages(response: Json) -> list:
    choices = response.get("choices")
    return [choice.get("message") for choice in choices if isinstance(choice, dict)] if isinstance(choices, list) else []


def _estimate(what: object) -> float:
    return len(json.dumps(what, ensure_ascii=False)) / CHARACTERS_PER_TOKEN


def _count(tokens: object) -> int | None:
    return tokens if isinstance(tokens, int) and 0 <= tokens < _MOST_TOKENS else None


def _name(name: object) -> str:
    return str(name).encode("utf-8", "replace").decode()
