"""How a prompt is read when templates are looked for: words with typed slots, lines and sentences, and the marks that these leave.

Values that differ from call to call in an obvious way (numbers, dates, addresses of mails and pages) become typed slots first, so
that "at most 20 words" and "at most 50 words" are one. Only the two ends of a long prompt are read: between them lies content.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

HEAD = TAIL = 2_000  # characters of a text that are read
SENTENCE = re.compile(r"(?<= [.!?;:])\s+")
URL = re.compile(r"https?://[^\s)>\"']+")
EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
NUMBER = re.compile(r"\d(?:\d{3}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?)?|[\d.,:/]*\d)?")
DATE = re.compile(r"\d{4}-\d\d-\d\d.*|\d\d?[./]\d\d?[./]\d{2,4}")
CLOSING = re.compile(r"([:,;.!?)\]\"']{1,3})(?=\s)")
OPENING = re.compile(r"(\s[(\[\"']{1,3})(?=\w)")
UNSPACED = re.compile(r"([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")  # scripts that put no blanks between words
LONG_LINE = 60  # characters from which a line is cut into its sentences
SHORT_TEXT = 60  # words up to which pairs of words are marks: a template of one line has little else
EDGE = 3  # lines at either end of a text that weigh double


def typed(text: str) -> str:
    """The two ends of a text with `<number>`, `<date>`, `<email>` and `<url>` for what is one; punctuation stands as words of its own."""
    if len(text) > HEAD + TAIL:
        text = f"{text[:HEAD]}\n{text[-TAIL:]}"
    if "://" in text:
        text = URL.sub("<url>", text)
    if "@" in text:
        text = EMAIL.sub("<email>", text)
    text = NUMBER.sub(lambda match: "<date>" if DATE.fullmatch(match[0]) else "<number>", f"\n{text}\n")
    text = " ".join(OPENING.split(" ".join(CLOSING.split(text))))
    return text if text.isascii() else UNSPACED.sub(r" \1 ", text)


def units(text: str) -> list[str]:
    """The lines of `typed(text)`, long ones cut into sentences; whitespace normalised, empty ones left out."""
    lines = typed(text).splitlines()
    pieces = (unit for line in lines for unit in (SENTENCE.split(line) if len(line) > LONG_LINE else (line,)))
    return [unit for piece in pieces if (unit := " ".join(piece.split()))]


def plain(text: str) -> str:
    """The words of `typed(text)`, one blank before, between and after them: what templates are matched against."""
    return f" {' '.join(typed(text).split())} "


def marks(made: Sequence[str]) -> dict[str, float]:
    """The marks of a text, with weights, from its `units`: these, their first and last words, and the pairs of words of a short text.

    A unit weighs the root of its number of words, so that a long instruction counts more than a heading, but not as much more as
    it is long.
    """
    found: dict[str, float] = {}
    for i, unit in enumerate(made):
        words = unit.split(" ")
        edge = 2.0 if i < EDGE or len(made) - i <= EDGE else 1.0
        found[unit] = max(found.get(unit, 0.0), edge * min(len(words), 12) ** 0.5)
        if len(words) > 3:
            for mark in ("^" + " ".join(words[:3]), "$" + " ".join(words[-3:])):
                found[mark] = max(found.get(mark, 0.0), edge)
    words = " ".join(made).split(" ")
    if len(words) <= SHORT_TEXT:
        found |= {f"~{one} {two}": 0.7 for one, two in pairwise(words)}
    return found
