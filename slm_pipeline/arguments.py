"""Whether two arguments of tool calls mean the same, as the tool's JSON schema says what they are.

What a string is follows from its schema first (enum, const, pattern, format, name, description), then from the form of both values:

- fixed (enum, const, pattern, a format that is no date; a name such as `user_id`, `code`, `url`; both values single words, one with a
  digit): exactly, case kept
- a date (a format of dates, or any schema, if both values read as dates or times by `dates.py`): as moments
- free text (a name such as `description`, `message`, `reason`, or a description that says "free text"): by similarity, from five words
  on both sides, if numbers and negations are the same
- a name (anything else, and free text that is shorter): equal but for case

Unicode composition and runs of white space never matter. Numbers are equal within a relative tolerance, whole numbers exactly; a list is
without order where the schema says so; an omitted property equals its default. Everything here is symmetric in the two values.
"""

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
from rapidfuzz.distance import Indel
from scipy.optimize import linear_sum_assignment

from slm_pipeline.answers import resolved
from slm_pipeline.dates import moment
from slm_pipeline.records import Json
from slm_pipeline.settings import Leeway

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
FIXED = "id ids uuid guid uid key keys code codes token hash sku isbn iban iata icao url uri link path email version"
FREE = (
    "description text message body content comment comments note notes reason summary prompt question thought instruction instructions "
    "details feedback explanation review"
)
FIXED_NAMES, TEXT_NAMES = set(FIXED.split()), set(FREE.split())
"""Last words of an argument's name that say what it holds."""
DATE_FORMATS = {"date", "date-time", "time"}
SAYS_TEXT = re.compile(r"\bfree[- ]?(form )?text\b|\bfree[- ]form\b|\bnatural language\b", re.IGNORECASE)
SAYS_UNORDERED = re.compile(
    r"\bunordered\b|\bin any order\b|\border (does not|doesn't|is not|isn't) (matter|important|relevant)\b|\b(a|the|as) (\w+ )?set of\b",
    re.IGNORECASE,
)
TELLING = re.compile(r"\S*\d\S*|\b(?:not|no|never|none|without|cannot)\b|\w+n['’]t\b", re.IGNORECASE)
MOST = 1e300
LONGEST_NUMBER = 300
LEAST_WORDS = 5
"""Fewer words than these are a name or a phrase, in which every word counts."""


def same(one: Any, other: Any, schema: Any, leeway: Leeway, name: str = "", root: Json | None = None) -> bool:
    """Whether two JSON values mean the same under `schema`, that of an argument called `name`; `root` is where its $refs point."""
    root = schema if root is None and isinstance(schema, dict) else root or {}
    schema = _meant(schema, root)
    one, other = _number(one, schema), _number(other, schema)
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or _close(one, other, leeway)
    if type(one) is not type(other):
        return False
    if isinstance(one, str):
        return _same_string(one, other, schema, leeway, name)
    if isinstance(one, list):
        return _same_list(one, other, schema, leeway, name, root)
    return all(agreement(one, other, schema, leeway, root).values())


def agreement(one: Json, other: Json, schema: Any, leeway: Leeway, root: Json | None = None) -> dict[str, bool]:
    """For each property that either of two objects has, whether both mean the same by it; one that is left out has its default."""
    root = schema if root is None and isinstance(schema, dict) else root or {}
    schema = _meant(schema, root)
    properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
    found = {}
    for name in sorted(one.keys() | other.keys()):
        of = _meant(properties.get(name), root)
        values = [value[name] if name in value else of.get("default", _ABSENT) for value in (one, other)]
        found[name] = _ABSENT not in values and same(*values, of, leeway, name, root)
    return found


class _Absent:
    """Equal to nothing else, so that `in` finds it without comparing values."""


_ABSENT = _Absent()


def _meant(schema: Any, root: Json) -> Mapping:
    """A schema without reference, and without the alternative null: what the one other alternative says, its own words beside."""
    schema, seen = resolved(schema, root)
    branches = [resolved(branch, root, seen)[0] for key in ("anyOf", "oneOf") for branch in schema.get(key) or ()]
    filled = [branch for branch in branches if branch.get("type") != "null"]
    return {**filled[0], **schema} if len(filled) == 1 else schema


def _types(schema: Mapping) -> set[str]:
    """The JSON types a schema names, itself or in its alternatives."""
    own = schema.get("type") or ()
    branches = [branch for key in ("anyOf", "oneOf") for branch in schema.get(key) or () if isinstance(branch, dict)]
    return ({own} if isinstance(own, str) else set(own)).union(*map(_types, branches))


def _number(value: Any, schema: Mapping) -> Any:
    """A numeric string as a number where the schema wants one."""
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER or not NUMBER.fullmatch(value.strip()):
        return value
    types = _types(schema)
    return json.loads(value.strip()) if types & {"number", "integer"} and "string" not in types else value


def _close(one: float, other: float, leeway: Leeway) -> bool:
    if isinstance(one, int) and isinstance(other, int):
        return False
    # an int may be too large for a float
    return max(abs(one), abs(other)) < MOST and math.isclose(one, other, rel_tol=leeway.number)


def _same_string(one: str, other: str, schema: Mapping, leeway: Leeway, name: str) -> bool:
    one, other = _plain(one), _plain(other)
    if one == other:
        return True
    words = [part.lower() for part in PART.findall(name)] or [""]
    if schema.get("enum") or "const" in schema or "pattern" in schema:
        return False
    description = str(schema.get("description") or "")
    if schema.get("format") in (None, *DATE_FORMATS):
        moments = moment(one, description), moment(other, description)
        if None not in moments:
            return moments[0] == moments[1]
    if schema.get("format") or words[-1] in FIXED_NAMES or _coded(one, other):
        return False
    one, other = _folded(one), _folded(other)
    if words[-1] in TEXT_NAMES or SAYS_TEXT.search(description):
        return one == other or _similar(one, other, leeway)
    return one == other


def _coded(one: str, other: str) -> bool:
    """Whether two values look like identifiers: single words, one of them with a digit."""
    return " " not in one + other and any(character.isdigit() for character in one + other)


def _similar(one: str, other: str, leeway: Leeway) -> bool:
    if min(len(one.split()), len(other.split())) < LEAST_WORDS or TELLING.findall(one) != TELLING.findall(other):
        return False
    return Indel.normalized_similarity(one, other) >= leeway.text


def _same_list(one: list, other: list, schema: Mapping, leeway: Leeway, name: str, root: Json) -> bool:
    if len(one) != len(other):
        return False
    items = schema.get("items")
    if not (schema.get("uniqueItems") is True or SAYS_UNORDERED.search(str(schema.get("description") or ""))):
        return all(same(a, b, items, leeway, name, root) for a, b in zip(one, other, strict=True))
    alike = np.array([[same(a, b, items, leeway, name, root) for b in other] for a in one], dtype=bool).reshape(len(one), len(one))
    return bool(alike[linear_sum_assignment(alike, maximize=True)].all())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text.casefold())
