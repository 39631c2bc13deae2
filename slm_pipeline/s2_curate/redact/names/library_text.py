"""Technical English and code without names: passages of the Python sources of libraries that the project depends on."""

import random
import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from slm_pipeline.s2_curate.redact.finds import Find

LIBRARIES = ("numpy", "scipy", "sklearn", "pandas", "torch", "mlflow", "dagster")
NAMES = re.compile(  # passages that may hold names of people or places are left out
    r"(?i)author|copyright|licen[sc]e|et al|references|contribut|university|journal|maintainer|https?:"
    r"|@\w|\[\d+\]|\(\d{4}\)|\d{4}\.|©|[^\x00-\x7f]"
)
HEADER = 30  # lines at the top of a file, where authors stand
FILES = 60  # files of each library


@cache
def _sources() -> list[list[str]]:
    found = []
    for library in LIBRARIES:
        folder = Path(find_spec(library).origin).parent
        files = sorted(p for p in folder.rglob("*.py") if "test" not in str(p.relative_to(folder)) and p.stat().st_size > 8000)
        found += [p.read_text(encoding="utf-8").splitlines()[HEADER:] for p in files[:: max(1, len(files) // FILES)]]
    return found


def passages(rng: random.Random) -> Iterator[tuple[str, list[Find]]]:
    """Passages of 1 to 12 lines, without end."""
    sources = _sources()
    while True:
        lines = rng.choice(sources)
        start = rng.randrange(len(lines))
        text = "\n".join(lines[start : start + rng.randint(1, 12)]).strip()
        if text and not NAMES.search(text):
            yield text, []
