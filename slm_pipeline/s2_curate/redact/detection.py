"""What is to be redacted in a text: finds of the rules, what JSON keys give away, and names."""

import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from slm_pipeline.s2_curate.redact import addresses, identifiers, personal, secrets, titles
from slm_pipeline.s2_curate.redact.backends import names_finder
from slm_pipeline.s2_curate.redact.fields import kind_by_key
from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.json_text import is_json, walk_json
from slm_pipeline.s2_curate.redact.rules import Prefilter

PREFILTER = Prefilter(rule for module in (secrets, personal, identifiers, addresses, titles) for rule in module.RULES)
NAME_KINDS = {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS"}
PLACEHOLDER = re.compile(r"\[[A-Z][A-Z_]*_[0-9a-f]{4}\]")
_DIGIT = re.compile("[0-9]")
_CODE = re.compile(
    r"\b(?=\w*\d)(?=\w*[A-Za-z])\w{16,}|^(?=[A-Z]*\d+[A-Z]+\d|[A-Z]+\d+[A-Z]|[A-Z]{2,}\d{3})[A-Z0-9]{5,12}$|^[A-Za-z]{1,4}\d+$"
)  # hashes, order numbers
_JOINED = re.compile(r"[ ,\n]{1,3}")


class Value(NamedTuple):
    """`value` is of this kind; it stands in `text`, the value of a JSON object's `key` ("" for none)."""

    kind: str
    value: str
    key: str
    text: str


class Taken:
    """Finds so far, without overlaps."""

    def __init__(self, finds: Iterable[Find] = ()):
        self.finds = sorted(finds)

    def add(self, find: Find) -> None:
        """Take a find unless it overlaps an earlier one."""
        at = bisect_left(self.finds, find)
        if (at == 0 or self.finds[at - 1].end <= find.start) and (at == len(self.finds) or find.end <= self.finds[at].start):
            self.finds.insert(at, find)

    def add_rest(self, find: Find, text: str) -> None:
        """Take what earlier finds leave of a find, if it holds a letter or digit."""
        at, start = bisect_left(self.finds, (find.start,)), find.start
        if at and self.finds[at - 1].end > start:
            start = self.finds[at - 1].end
        while start < find.end:
            end = min(find.end, self.finds[at].start) if at < len(self.finds) else find.end
            piece = text[start:end]
            if any(c.isalnum() for c in piece):
                left, right = len(piece) - len(piece.lstrip(" ,;\n")), len(piece) - len(piece.rstrip(" ,;\n"))
                self.finds.insert(at, Find(start + left, end - right, find.kind))
                at += 1
            start, at = (self.finds[at].end, at + 1) if at < len(self.finds) else (find.end, at)


@lru_cache(maxsize=8192)
def find_structured(text: str, name: str = "") -> tuple[Find, ...]:
    """What rules and key find in a text, left to right, without overlaps. `name` is the key that the text is a value of."""
    placeholders = _placeholders(text)
    kind = kind_by_key(name, text) if not placeholders else None
    if kind:
        return (_stripped(text, kind),)
    lead = f"{name}: " if name else ""
    whole = lead + text
    if not whole.isascii():
        # halves of surrogate pairs, which cut texts may hold, cannot be encoded for RE2
        whole = whole.encode("utf-8", "replace").decode()
    taken = Taken(Find(start + len(lead), end + len(lead), "") for start, end, _ in placeholders)
    for rule in PREFILTER.rules_for(whole):
        for start, end in rule.spans(whole):
            if whole[start - 1 : start] == "\\" and whole[start] in "nrtbf":
                start += 1  # the letter belongs to an escape such as \n of quoted JSON
                if not rule.check(whole, start, end):
                    continue
            if start >= len(lead):
                taken.add(Find(start, end, rule.kind))
    return tuple(Find(start - len(lead), end - len(lead), kind) for start, end, kind in taken.finds if kind)


def _placeholders(text: str) -> list[Find]:
    """What stands for a value already, without a kind: nothing else is found there."""
    return [Find(*m.span(), "") for m in PLACEHOLDER.finditer(text)] if "[" in text else []


def _stripped(text: str, kind: str) -> Find:
    start = len(text) - len(text.lstrip())
    return Find(start, len(text.rstrip()), kind)


@lru_cache(maxsize=8192)
def find(text: str, name: str = "", backend: str = "own") -> tuple[Find, ...]:
    """What rules, key and names find in a text, left to right, without overlaps.

    A name keeps what the rules leave of it; addresses that touch are one. `backend` as in `names_finder`.
    """
    structured = find_structured(text, name)
    alone = text.isascii() and text.islower() and text.isalpha()  # one plain word says nothing without its sentence
    if alone or not any(c.isalpha() for c in text) or (structured and structured[0].end - structured[0].start == len(text)):
        return structured
    taken = Taken([*structured, *_placeholders(text)])
    for found in names_finder(backend)(text):
        if not _CODE.search(text[found.start : found.end]):
            taken.add_rest(found, text)
    return tuple(_merged([found for found in taken.finds if found.kind], text))


def _merged(finds: list[Find], text: str) -> list[Find]:
    """Addresses with nothing but a comma or line end between them as one."""
    merged: list[Find] = []
    for found in finds:
        last = merged[-1] if merged else None
        if last and found.kind == last.kind == "ADDRESS" and (last.end == found.start or _JOINED.fullmatch(text[last.end : found.start])):
            merged[-1] = last._replace(end=found.end)
        else:
            merged.append(found)
    return merged


@lru_cache(maxsize=8192)
def values(text: str, name: str = "", backend: str = "own") -> tuple[Value, ...]:
    """All that is to be redacted in a text, which may be JSON; conversations repeat their texts, hence the cache."""
    if not is_json(text):
        return tuple(Value(kind, text[start:end], name, text) for start, end, kind in find(text, name, backend))
    found: list[Value] = []

    def look(inner: str, inner_name: str) -> str:
        found.extend(values(inner, inner_name, backend))
        return inner

    def look_key(key: str) -> str:
        found.extend(key_values(key))
        return key

    walk_json(text, look, look_key)
    return tuple(found)


@lru_cache(maxsize=8192)
def key_values(key: str) -> tuple[Value, ...]:
    """The key if the rules find all of a key: objects may be kept by mail address or payment id."""
    if not _DIGIT.search(key) and "@" not in key:
        return ()
    return tuple(Value(kind, key, "", key) for start, end, kind in find_structured(key) if end - start == len(key))
