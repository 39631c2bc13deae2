"""The canonical JSONL: one `AgentCall` per line. Where `session_id` is missing, sessions are rebuilt."""

from collections.abc import Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import Found

NAMES = {"id", "agent", "session_id", "client_id"}


def recognises(record: Json) -> bool:
    return "request" in record and len(NAMES & record.keys()) >= 3  # one may be missing: it is named then


def calls(record: Json) -> Iterator[Found | str]:
    yield Found(record)
