"""Recorded calls, whatever their form, as canonical calls. One file per form; each record's content says which it is.

A form is a module with `recognises(record)` and `calls(record)`, which yields the calls in a record, and for a part of it that is
no call the reason.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import ValidationError
from pydantic_core import from_json

from slm_pipeline.records import AgentCall, Json
from slm_pipeline.s1_collect.call_log import Appended, CallLog
from slm_pipeline.s1_collect.importers import (
    batches,
    canonical,
    flywheel,
    langfuse,
    litellm,
    mlflow_traces,
    openai_stored,
    pairs,
    spans,
)
from slm_pipeline.s1_collect.importers.documents import records
from slm_pipeline.s1_collect.importers.fields import Found
from slm_pipeline.s1_collect.importers.lines import Damage
from slm_pipeline.s1_collect.importers.sessions import Sessions

# the first that recognises a record reads it, so those with names of their own come before those with common ones
FORMATS = (flywheel, canonical, litellm, langfuse, spans, mlflow_traces, batches, openai_stored, pairs)


@dataclass(frozen=True)
class BadLine:
    """What is no call. `line` counts from 1: lines, or the items of a JSON document, or traces; `file` is its name inside a folder."""

    line: int
    reason: str
    file: str = ""


def import_file(source: Path | str, log: CallLog, report: Callable[[BadLine], None]) -> Appended:
    """Append a source's calls to the log, streaming; every bad line goes to `report`, the good ones are kept."""

    def good() -> Iterator[AgentCall]:
        for item in read_calls(source):
            if isinstance(item, BadLine):
                report(item)
            else:
                yield item

    return log.append(good())


def is_url(source: Path | str) -> bool:
    """Whether the source is a server and no file."""
    return "://" in str(source)


def read_calls(source: Path | str) -> Iterator[AgentCall | BadLine]:
    """Stream the calls of a file (JSONL or JSON, plain or gzip), of all files of a folder, or of an MLflow server (its URL).

    Every record may be in any of FORMATS. Raises OSError if the source cannot be read at all, ValueError if an MLflow server knows no
    such experiment.
    """
    sessions, halves = Sessions(), batches.Halves()
    last: ModuleType | None = None
    for place, record, file_time in _records(source):
        if isinstance(record, Damage):
            yield BadLine(place[0], record.reason, place[1])
            continue
        recognised = _form_of(record)
        last = recognised or last
        form = recognised or (canonical if last in (None, batches) else last)
        try:
            made = [
                item if isinstance(item, str) else _call(item, sessions, file_time)
                for item in (halves.calls(record, place) if form is batches else form.calls(record))
            ]
        except RecursionError:
            made = ["it is nested too deeply"]
        if not recognised:
            reasons = [item for item in made if isinstance(item, str)]
            made = made if made and len(reasons) < len(made) else [f"it has no form that is known{''.join(f'; {r}' for r in reasons)}"]
        yield from (BadLine(place[0], item, place[1]) if isinstance(item, str) else item for item in made)
    yield from (BadLine(place[0], reason, place[1]) for place, reason in halves.rest())


def _records(source: Path | str) -> Iterator[tuple[tuple[int, str], Json | Damage, float | None]]:
    """Each record with its place (number, name of the file inside a folder) and the time of its file."""
    if is_url(source):
        yield from (((number, ""), trace, None) for number, trace in enumerate(mlflow_traces.traces_of(str(source)), 1))
        return
    path = Path(source)
    inside = (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    for file in sorted(inside) if path.is_dir() else [path]:
        name, time = str(file.relative_to(path)) if path.is_dir() else "", file.stat().st_mtime
        yield from (((number, name), record, time) for number, record in records(file, lambda record: _form_of(record) is not None))


def _form_of(record: Json) -> ModuleType | None:
    return next((form for form in FORMATS if form.recognises(record)), None)


def _call(found: Found, sessions: Sessions, file_time: float | None) -> AgentCall | str:
    """The canonical call, or why it is none."""
    fields = found.fields
    if fields.get("timestamp", 0) is None:
        fields = fields | {"timestamp": file_time}
    named = fields.get("session_id") is not None
    try:
        call = AgentCall.model_validate(fields if named else {**fields, "session_id": str(found.run or fields.get("id") or "-")})
        from_json(call.to_json())  # a call is nested deeper than its record, and what the log takes it must be able to read
    except ValidationError as error:
        return "; ".join(_reason(e) for e in error.errors(include_url=False, include_input=False))
    except ValueError as error:
        return f"it cannot be kept as JSON: {error}"
    if not named:
        call.session_id = sessions.session_of(call.client_id, call.request, call.session_id)
        sessions.remember(call.client_id, call.request, call.response, call.session_id)
    return call


def _reason(error: dict) -> str:
    field = ".".join(str(part) for part in error["loc"])
    return f"field {field!r} is missing" if error["type"] == "missing" else f"field {field!r}: {error['msg']}"
