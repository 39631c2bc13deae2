"""Files of recorded calls, whatever their form, as canonical calls. One file per form; the content says which it is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.call_log import Appended, CallLog
from slm_pipeline.s1_collect.importers import canonical, flywheel
from slm_pipeline.s1_collect.importers.lines import Damage, numbered_lines

FORMATS = (flywheel, canonical)
SNIFF = 100  # lines read to tell the form


@dataclass(frozen=True)
class BadLine:
    """A line that is no call. `line` counts from 1."""

    line: int
    reason: str


def import_file(path: Path, log: CallLog, report: Callable[[BadLine], None]) -> Appended:
    """Append a file's calls to the log, streaming; every bad line goes to `report`, the good ones are kept."""

    def good() -> Iterator[AgentCall]:
        for item in read_calls(path):
            if isinstance(item, BadLine):
                report(item)
            else:
                yield item

    return log.append(good())


def read_calls(path: Path) -> Iterator[AgentCall | BadLine]:
    """Stream the calls of a JSONL file, plain or gzip, in the canonical or the Data Flywheel form."""
    convert = _form(path).converter()
    for number, line in numbered_lines(path):
        if isinstance(line, Damage):
            yield BadLine(number, line.reason)
            continue
        try:
            record = from_json(line, allow_inf_nan=False)
        except ValueError as error:
            yield BadLine(number, f"bad JSON: {error}")
            continue
        if not isinstance(record, dict):
            yield BadLine(number, f"a JSON object is expected, found {type(record).__name__}")
            continue
        try:
            yield convert(record)
        except ValidationError as error:
            yield BadLine(number, "; ".join(_reason(e) for e in error.errors(include_url=False, include_input=False)))


def _form(path: Path):
    """The module of the form that the first recognisable line has; the canonical one if none is."""
    for number, line in numbered_lines(path):
        if number > SNIFF or isinstance(line, Damage):
            break
        try:
            record = from_json(line)
        except ValueError:
            continue
        for form in FORMATS:
            if isinstance(record, dict) and form.recognises(record):
                return form
    return canonical


def _reason(error: dict) -> str:
    field = ".".join(str(part) for part in error["loc"])
    return f"field {field!r} is missing" if error["type"] == "missing" else f"field {field!r}: {error['msg']}"
