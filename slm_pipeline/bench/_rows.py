"""The rows of a labelled set."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from slm_pipeline.records import Json


def read_rows(file: Path) -> Iterator[Json]:
    """The JSON objects of a file, one a line; plain, or gzip if its name ends so."""
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)
