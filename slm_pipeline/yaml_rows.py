"""Tables that a user writes: YAML lists of rows, each of which a model describes."""

from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

Row = TypeVar("Row", bound=BaseModel)


def read_rows(
    file: Path,
    kind: type[Row],
    error: type[ValueError],
    key: Callable[[Row], Hashable] = lambda row: row.name,
    complete: Callable[[Any], Any] = lambda given: given,
) -> list[Row]:
    """The rows of a file, in their order; no two have the same `key`. `complete` adds to what stands there before it is read. Raises
    `error`, which says file, row, field, and what is wrong there; a row is called by its number and the first field of `kind`."""
    name = next(iter(kind.model_fields))

    def called(number: int) -> str:
        given = content[number - 1]
        return f"row {number} ({(given.get(name) if isinstance(given, dict) else None) or f'without {name}'})"

    def explained(problem: Mapping) -> str:
        at, *fields = problem["loc"]
        return f"{called(at + 1)}{', field ' if fields else ''}{'.'.join(map(str, fields))}: {problem['msg']}"

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as problem:
        raise error(f"{file}: not YAML: {problem}") from problem
    if not isinstance(content, list):
        raise error(f"{file}: it must be a list of rows, each beginning with `- {name}:`")
    content = [complete(given) for given in content]
    try:
        rows = TypeAdapter(list[kind]).validate_python(content)
    except ValidationError as found:
        raise error("\n".join(f"{file}: {explained(problem)}" for problem in found.errors())) from None
    seen: dict[Hashable, int] = {}
    for number, row in enumerate(rows, 1):
        first = seen.setdefault(key(row), number)
        if first != number:
            raise error(f"{file}: {called(first)} is there more than once, again as row {number}: keep one")
    return rows
