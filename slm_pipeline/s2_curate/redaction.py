"""Redaction of a call: every find of the rules gets a stand-in like [EMAIL_3f2a], the same one throughout its session.

The number is a keyed hash of session and value, so it does not depend on which calls were seen before. It is short: it
cannot be traced back to a value, and two values share one with a chance of 1 in 65,536. What stands in a system message
is numbered by agent instead of session, else one static template would look different in every session.

Keys, roles, names and tool definitions stay as they are: those are the developer's, and tasks are recognised by them.
"""

import hashlib
import hmac
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from slm_pipeline.records import Json
from slm_pipeline.s2_curate import personal, secrets

RULES = (*secrets.RULES, *personal.RULES)
ENVELOPE = {"role", "type", "name", "id", "tool_call_id", "model", "finish_reason", "object"}
STATIC = {"model", "tools", "tool_choice", "functions", "function_call", "response_format"}
CARD_DIGITS = range(13, 20)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+\-]*', re.DOTALL)


class Find(NamedTuple):
    """text[start:end] is of this kind."""

    start: int
    end: int
    kind: str


@lru_cache(maxsize=8192)
def find(text: str, name: str = "") -> tuple[Find, ...]:
    """What the rules find in a text, left to right, without overlaps. `name` is the key that the text is a value of."""
    lead = f"{name}: " if name else ""
    # halves of surrogate pairs, which cut texts may hold, cannot be encoded for RE2
    whole, taken = (lead + text).encode("utf-8", "replace").decode(), []
    for rule in RULES:
        for start, end in rule.spans(whole):
            if whole[start - 1 : start] == "\\" and whole[start] in "nrtbf":
                start += 1  # the letter belongs to an escape such as \n of quoted JSON
                if not rule.check(whole, start, end):
                    continue
            if start >= len(lead) and all(end <= other.start or start >= other.end for other in taken):
                taken.append(Find(start, end, rule.kind))
    return tuple(Find(start - len(lead), end - len(lead), kind) for start, end, kind in sorted(taken))


@lru_cache(maxsize=8192)
def values(text: str, name: str = "") -> tuple[tuple[str, str], ...]:
    """(kind, value) of all that is to be redacted in a text, which may be JSON; conversations repeat their texts, hence the cache."""
    if not _is_json(text):
        return tuple((kind, text[start:end]) for start, end, kind in find(text, name))
    found: list[tuple[str, str]] = []

    def look(inner: str, inner_name: str) -> str:
        found.extend(values(inner, inner_name))
        return inner

    _in_json(text, look)
    return tuple(found)


class Redaction:
    """The stand-ins of one call. Learns from the request and from all `also`, so that a value found once is replaced wherever it stands."""

    def __init__(self, request: Json, agent: str, session_id: str, key: str, also: Iterable[Any] = ()):
        self.counts: Counter[str] = Counter()
        self._key, self._session = key.encode(), f"session {session_id}"
        self._known: dict[str, str] = {}
        self._scopes: dict[str, str] = {}
        messages = request.get("messages") if isinstance(request.get("messages"), list) else []
        system, others = [m for m in messages if _is_system(m)], [m for m in messages if not _is_system(m)]
        _walk(system, self._learn_as(f"agent {agent}"), envelope=True)
        _walk([others, _varying(request, "messages")], self._learn_as(f"session {session_id}"), envelope=True)
        _walk(list(also), self._learn_as(f"session {session_id}"))
        self._literal = self._known and re.compile(
            r"(?<!\w)(?:" + "|".join(re.escape(v) for v in sorted(self._known, key=lambda v: (-len(v), v))) + r")(?!\w)"
        )

    def request(self, request: Json) -> Json:
        """The request with stand-ins; model, tools and response format as they are."""
        return {k: v if k in STATIC else self.message(v) for k, v in request.items()} if self._known else request

    def message(self, value: Any) -> Any:
        """Messages or their parts, whose roles, names and ids stay."""
        return _walk(value, self._replace, envelope=True) if self._known else value

    def data(self, value: Any) -> Any:
        """Any JSON value; only keys stay."""
        return _walk(value, self._replace) if self._known else value

    def _learn_as(self, scope: str) -> Callable[[str, str], str]:
        def learn(text: str, name: str) -> str:
            for kind, value in values(text, name):
                self.counts[kind] += 1
                self._known.setdefault(value, self._stand_in(kind, value, scope))
            return text

        return learn

    def _stand_in(self, kind: str, value: str, scope: str) -> str:
        same = re.sub(r"\W", "", value) if kind in ("PHONE", "CARD", "SSN", "IBAN") else value.casefold()
        scope = self._scopes.setdefault(same, scope)
        number = hmac.new(self._key, f"{scope}\0{kind}\0{same}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:4]
        return f"[{kind}_{number}]"

    def _replace(self, text: str, name: str) -> str:
        if not self._literal.search(text) and not values(text, name):
            return text
        if _is_json(text):
            return _in_json(text, self._replace)
        parts, position = [], 0
        for start, end, kind in find(text, name):
            value = text[start:end]
            parts += self._known_in(text[position:start]), self._known.get(value) or self._stand_in(kind, value, self._session)
            position = end
        made = "".join((*parts, self._known_in(text[position:])))
        return made if made == text else self._replace(made, name)  # what stood around a value may have hidden another

    def _known_in(self, text: str) -> str:
        return self._literal.sub(lambda match: self._known[match[0]], text)


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def _varying(request: Json, *without: str) -> Json:
    return {key: value for key, value in request.items() if key not in STATIC and key not in without}


def leaks(value: Any) -> list[tuple[str, str]]:
    """(kind, value) of what the rules still find in a JSON value."""
    found: list[tuple[str, str]] = []

    def look(text: str, name: str) -> str:
        found.extend(values(text, name))
        return text

    _walk(_varying(value) if isinstance(value, dict) else value, look, envelope=True)
    return found


def _walk(value: Any, on_text: Callable[[str, str], str], name: str = "", envelope: bool = False) -> Any:
    """The value with every text replaced by `on_text(text, key)`."""
    if isinstance(value, str):
        return on_text(value, name)
    if isinstance(value, list):
        return [_walk(item, on_text, name, envelope) for item in value]
    if isinstance(value, dict):
        return {k: v if envelope and k in ENVELOPE else _walk(v, on_text, k, envelope) for k, v in value.items()}
    if isinstance(value, int) and len(str(value)) in CARD_DIGITS:
        made = on_text(str(value), name)
        return value if made == str(value) else made
    return value


def _in_json(text: str, on_text: Callable[[str, str], str]) -> str:
    """JSON text with its string values replaced by `on_text(text, key)` and nothing else changed, spacing included: it stays valid."""
    name = ""

    def replace(token: re.Match) -> str:
        nonlocal name
        if token[2]:
            name = _unquote(token[1])
            return token[0]
        if token[1] is None:
            made = on_text(token[0], name) if len(token[0]) in CARD_DIGITS else token[0]
            return token[0] if made == token[0] else json.dumps(made)
        value = _unquote(token[1])
        made = on_text(value, name)
        return token[0] if made == value else json.dumps(made, ensure_ascii=token[0].isascii())

    return _TOKEN.sub(replace, text)


def _unquote(text: str) -> str:
    return json.loads(f'"{text}"', strict=False) if "\\" in text else text


@lru_cache(maxsize=8192)
def _is_json(text: str) -> bool:
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
