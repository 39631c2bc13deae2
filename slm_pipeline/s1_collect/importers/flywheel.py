"""The NVIDIA Data Flywheel JSONL: `{timestamp, workload_id, client_id, request, response}`.

The client is taken for the agent, `workload_id` stays as an extra key (a hint, read by nothing), the id is a digest of the
line's content. The form knows no sessions: they are rebuilt.
"""

from collections.abc import Iterator

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import UNKNOWN, Found


def recognises(record: Json) -> bool:
    return "workload_id" in record and "session_id" not in record


def calls(record: Json) -> Iterator[Found | str]:
    yield Found(record | {"id": f"flywheel-{digest(record)}", "agent": record.get("client_id", UNKNOWN)})
