"""Numbered lines of a plain or gzip file, whatever its line ends, byte-order mark or damage."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAX_LINE = 64 << 20  # bytes; bounds memory when a file has no line ends
CUT_OFF = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Damage:
    """Why a line, or all that follows, cannot be read."""

    reason: str


def cut_off(error: Exception) -> Damage:
    return Damage(f"the gzip file is cut off or damaged from here on: {error}")


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The file's content, unzipped; reading it may raise one of CUT_OFF."""
    with path.open("rb") as raw:
        zipped = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        yield gzip.GzipFile(fileobj=raw) if zipped else raw


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes | Damage]]:
    """Yield (number from 1, content) of lines that are not blank; Damage where a line is too long or the gzip data end."""
    with opened(path) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(MAX_LINE)
                too_long = len(line) == MAX_LINE and not line.endswith(b"\n")
                rest = line
                while too_long and rest and not rest.endswith(b"\n"):
                    rest = file.readline(MAX_LINE)
            except CUT_OFF as error:
                yield number, cut_off(error)
                return
            if not line:
                return
            if too_long:
                yield number, Damage(f"longer than {MAX_LINE >> 20} MiB")
            elif content := line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip():
                yield number, content
