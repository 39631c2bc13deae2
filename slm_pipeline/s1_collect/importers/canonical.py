"""The canonical JSONL: one `AgentCall` per line."""

from collections.abc import Callable

from slm_pipeline.records import AgentCall, Json


def recognises(record: Json) -> bool:
    return "session_id" in record


def converter() -> Callable[[Json], AgentCall]:
    return AgentCall.model_validate
