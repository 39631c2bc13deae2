"""How people write: lower case, capitals, missing diacritics, slips of the finger. Spans keep to their words."""

import random
import re
import unicodedata

from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.names import pools

WORD = re.compile(r"\b[a-z]{3,}\b")
MARKED = re.compile(r"(\x02[A-Z]+\x1f[^\x03]*\x03)")


def swap_words(rng: random.Random, marked: str) -> str:
    """With some words outside the marks replaced by others, so that carriers are not learned by heart."""
    share = rng.choice([0, 0, 0.05, 0.15])
    words = pools.ordinary()

    def swap(match: re.Match) -> str:
        return rng.choice(words[rng.choice(("noun", "adj", "verb", "verbed"))]) if rng.random() < share else match[0]

    return "".join(part if part.startswith("\x02") else WORD.sub(swap, part) for part in MARKED.split(marked)) if share else marked


def vary(rng: random.Random, text: str, finds: list[Find]) -> tuple[str, list[Find]]:
    """The text in another spelling, and its spans there."""
    share = rng.random()
    if share < 0.09:
        return _alike(text, str.lower), finds
    if share < 0.12:
        return _alike(text, str.upper), finds
    if share < 0.16:
        return _alike(text, lambda c: unicodedata.normalize("NFKD", c)[0]), finds
    if share < 0.21:
        return _slips(rng, text, finds)
    if share < 0.25:
        pieces, position = [], 0
        form = rng.choice([str.lower, str.upper])
        for start, end, _ in finds:
            pieces += text[position:start], _alike(text[start:end], form)
            position = end
        return "".join((*pieces, text[position:])), finds
    return text, finds


def _alike(text: str, form) -> str:
    """Every character changed alone, so that none moves."""
    return "".join(made if len(made := form(c)) == 1 else c for c in text)


def _slips(rng: random.Random, text: str, finds: list[Find]) -> tuple[str, list[Find]]:
    """With a few letters lost, doubled or hit beside."""
    pieces, moved, at = [], [], []
    length = 0
    for c in text:
        at.append(length)
        made = c
        if c.isalpha() and rng.random() < 0.02:
            made = rng.choice(["", c + c, rng.choice("abcdefghijklmnopqrstuvwxyz")])
        pieces.append(made)
        length += len(made)
    at.append(length)
    moved = [Find(at[start], at[end], kind) for start, end, kind in finds]
    return "".join(pieces), [find for find in moved if find.end > find.start]
