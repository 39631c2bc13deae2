"""Spans inside a text that is being made: `mark(kind, text)` marks what is to be found, `unmark` reads it back."""

import re

from slm_pipeline.s2_curate.redact.finds import Find

MARKED = re.compile(r"\x02([A-Z]+)\x1f([^\x03]*)\x03")


def mark(kind: str, text: str) -> str:
    """A text that is to be found as this kind."""
    return f"\x02{kind}\x1f{text}\x03"


def unmark(marked: str) -> tuple[str, list[Find]]:
    """The text, and what is to be found in it."""
    parts, finds, position, length = [], [], 0, 0
    for match in MARKED.finditer(marked):
        start = length + match.start() - position
        length = start + len(match[2])
        parts += marked[position : match.start()], match[2]
        finds.append(Find(start, length, match[1]))
        position = match.end()
    return "".join((*parts, marked[position:])), finds


def lead(marked: str, sign: str) -> str:
    """With a sign before every line, as quoted mails and comments have; a span ends with its line."""
    by_line = MARKED.sub(lambda m: re.sub(r"\n\s*", f"\x03\n\x02{m[1]}\x1f", m[0]), marked)
    return re.sub(r"(?m)^", lambda _: sign, by_line)
