"""Redaction of a call: every find gets a stand-in, the same one throughout its session, so that copying a value stays learnable.

Stand-ins are realistic surrogates of the same form, or placeholders like [EMAIL_3f2a] on request. Both are keyed hashes of scope and
value, so they do not depend on which calls were seen before and cannot be traced back without the key. Structured kinds are drawn by
session. Names, places, organisations, addresses and domains are drawn by agent, and so is what stands in a system message: these may
be part of a static template, which must look the same in every session, for tasks are recognised by it.

Roles, names and tool definitions stay as they are: those are the developer's. So do values that a tool's schema lists.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from slm_pipeline.records import Json
from slm_pipeline.s2_curate.redact.detection import NAME_KINDS, PLACEHOLDER, Value, find, find_structured, key_values, values
from slm_pipeline.s2_curate.redact.fields import LONGEST
from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.json_text import is_json, walk, walk_json
from slm_pipeline.s2_curate.redact.stand_ins import PLACEHOLDERS, SURROGATES, StandIns, parts, spreads

__all__ = ["PLACEHOLDERS", "SURROGATES", "Find", "Redaction", "find"]

STATIC = {"model", "tools", "tool_choice", "functions", "function_call", "response_format"}
FIRST_NAMES, LAST_NAMES = ("first_name", "firstname", "given_name"), ("last_name", "lastname", "family_name", "surname")
SHORTEST_KNOWN = 4  # characters from which a stand-in is recognised inside a redacted text
ARGUMENT = "ARGUMENT"
PLACES = {"LOCATION", "ORGANIZATION", "ADDRESS", ARGUMENT}
PROSE = ("", "content", "text")  # keys of what is no argument
Span = tuple[int, int]
_WORD = re.compile(r"\w+")
_SHORT_FORM = re.compile(r"['’](?:t|re|ll|ve|m)\b")  # "Don't" speaks of no Don


class Literals:
    """Finds known values wherever they stand in a text, in linear time: by first word and length. `whole`: between word boundaries only."""

    def __init__(self, whole: bool):
        self._whole = whole
        self._shapes: dict[str, set[tuple[int, int]]] = {}
        self._known: dict[str, str] = {}

    def add(self, value: str, kind: str) -> None:
        """Look for this value from now on."""
        word = _WORD.search(value)
        if word and value not in self._known:
            self._known[value] = kind
            self._shapes.setdefault(word[0], set()).add((word.start(), len(value)))

    def spots(self, text: str) -> Iterator[tuple[int, int, str]]:
        """(start, end, kind) left to right, the longest first where several begin; they may overlap."""
        for match in _WORD.finditer(text) if self._shapes else ():
            word, at = match[0], match.start()
            if word[0] in "nrtbf" and text[at - 1 : at] == "\\":
                word, at = word[1:], at + 1  # the letter belongs to an escape such as \n of quoted JSON
            for offset, length in sorted(self._shapes.get(word, ()), key=lambda shape: -shape[1]):
                start = at - offset
                end = start + length
                if start >= 0 and text[start:end] in self._known and not (self._whole and _inside_word(text, start, end)):
                    yield start, end, self._known[text[start:end]]


class Covered:
    """Whether a span touches any of many."""

    def __init__(self, spans: list[Span]):
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in sorted(spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(end, self._ends[-1])
            else:
                self._starts.append(start)
                self._ends.append(end)

    def touches(self, start: int, end: int) -> bool:
        at = bisect_left(self._starts, end)
        return at > 0 and self._ends[at - 1] > start


class Redaction:
    """The stand-ins of one call. Learns from the request and from all `also`, so that a value found once is replaced wherever it stands.

    `form` is "surrogates" or "placeholders"; `names` the backend that finds names (see `names_finder`). `counts` says how many finds
    of each kind there were.
    """

    def __init__(
        self, request: Json, agent: str, session_id: str, key: str, also: Iterable[Any] = (), form: str = SURROGATES, names: str = "own"
    ):
        self.counts: Counter[str] = Counter()
        self._backend, self._literals, self._made = names, Literals(whole=True), Literals(whole=False)
        self._noted: set[str] = set()
        self._scopes: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._arguments: dict[str, str] = {}  # short JSON values with a name inside, and what they become
        self._before = ("", "")  # key and value of the last find: a first name waits for its last name
        self._fixed = set(_schema_values([request.get(field) for field in STATIC]))
        messages = request.get("messages") if isinstance(request.get("messages"), list) else []
        system, others = [m for m in messages if _is_system(m)], [m for m in messages if not _is_system(m)]
        learnt: list[tuple[str, str, str]] = []
        walk(system, *self._learner(learnt, f"agent {agent}"), envelope=True)
        static = len(learnt)
        walk([others, _varying(request, "messages")], *self._learner(learnt, f"session {session_id}"), envelope=True)
        walk(list(also), *self._learner(learnt, f"session {session_id}"))
        self._stand_ins = StandIns(key, agent, form)
        for part in (learnt[:static], learnt[static:]):
            self._stand_ins.avoid(value for _, value, _ in part)
            for kind, value, scope in part:
                self._note(self._stand_ins.of(kind, value, scope), kind)
        self._session = f"session {session_id}"
        for text in sorted(
            self._arguments, key=len
        ):  # what stands literally elsewhere is replaced alike there, whatever is found around it
            self._arguments[text] = self._replace(text, "")
            if self._arguments[text] != text:
                self._literals.add(text, ARGUMENT)

    def request(self, request: Json) -> Json:
        """The request with stand-ins; model, tools and response format as they are."""
        return {k: v if k in STATIC else self.message(v) for k, v in request.items()}

    def message(self, value: Any) -> Any:
        """Messages or their parts, whose roles, names and ids stay."""
        if isinstance(value, list):
            return [self.message(part) for part in value]
        return walk(value, partial(self._replace, system=_is_system(value)), self._replace_key, envelope=True)

    def data(self, value: Any) -> Any:
        """Any JSON value."""
        return walk(value, self._replace, self._replace_key)

    def left(self, value: Any) -> Counter[str]:
        """By kind, what still stands in an already redacted value: original values that are replaced wherever they stand, and finds of
        the rules that are no stand-ins of this redaction. `value`: a request, a message, or a dict with a request in it."""
        found: Counter[str] = Counter()

        def look(text: str, name: str, system: bool = False) -> str:
            if is_json(text):
                return walk_json(text, look, lambda key: key)
            made = Covered([*((start, end) for start, end, _ in self._made.spots(text)), *(m.span() for m in PLACEHOLDER.finditer(text))])
            spots = {(s, e): kind for s, e, kind in (*find_structured(text, name), *self._known_spots(text, system))}
            unknown = [(s, e, kind) for (s, e), kind in spots.items() if not (made.touches(s, e) or self._is_known(text[s:e]))]
            found.update(kind for s, e, kind in unknown if not self._touches_glued(text, s, e))
            return text

        for part in _messages_and_others(value):
            walk(part, partial(look, system=_is_system(part)), lambda key: key, envelope=True)
        return found

    def _known_spots(self, text: str, system: bool) -> list[tuple[int, int, str]]:
        """Where known values stand. In a system message a place, a firm or a single word of a name counts only if it is found there, or
        one template would look different from call to call."""
        spots = list(self._literals.spots(text))
        return (
            [(s, e, kind) for s, e, kind in spots if kind not in PLACES and " " in text[s:e] + " " * (kind != "PERSON")]
            if system
            else spots
        )

    def _touches_glued(self, text: str, start: int, end: int) -> bool:
        """Whether a stand-in that begins inside a word, as where two values stood without a gap, reaches into text[start:end]."""
        known = (made for made in self._noted if len(made) >= SHORTEST_KNOWN)
        return any(made in text[max(0, start - len(made) + 1) : end + len(made) - 1] for made in known)

    def _is_known(self, text: str) -> bool:
        return text in self._fixed or text in self._noted

    def _learner(self, learnt: list, scope: str) -> tuple[Callable[[str, str], str], Callable[[str], str]]:
        def learn(text: str, name: str) -> str:
            self._learn(values(text, name, self._backend), scope, learnt)
            return text

        def learn_key(key: str) -> str:
            self._learn(key_values(key), scope, learnt)
            return key

        return learn, learn_key

    def _learn(self, found: Iterable[Value], scope: str, learnt: list) -> None:
        for kind, value, key, text in found:
            if value in self._fixed:
                continue
            self.counts[kind] += 1
            if kind in NAME_KINDS and key not in PROSE and value != text == text.strip() and len(text) <= LONGEST:
                self._arguments[text] = ""
            whole = [("PERSON", f"{self._before[1]} {value}")] if self._before[0] in FIRST_NAMES and key.lower() in LAST_NAMES else []
            self._before = key.lower(), value
            for part_kind, part in ((kind, value), *whole, *parts(kind, value)):
                if part not in self._scopes:
                    self._scopes[part] = scope
                    self._kinds[part] = part_kind
                    learnt.append((part_kind, part, scope))
                if spreads(part_kind, part, bool(key) or part != value):
                    self._literals.add(part, part_kind)

    def _replace_key(self, key: str) -> str:
        found = key_values(key)
        return self._stand_in(found[0][0], key) if found and key not in self._fixed else key

    def _replace(self, text: str, name: str, system: bool = False) -> str:
        if is_json(text):
            return walk_json(text, partial(self._replace, system=system), self._replace_key)
        if name not in PROSE and text in self._kinds and text not in self._fixed:
            return self._stand_in(self._kinds[text], text)
        made, placed = self._pass(text, [*find(text, name, self._backend), *self._known_spots(text, system)], [])
        if not placed:
            return text
        # what stood around a value may have hidden another
        return self._pass(made, [*find_structured(made, name), *self._known_spots(made, system)], placed)[0]

    def _pass(self, text: str, finds: Iterable[tuple[int, int, str]], placed: list[Span]) -> tuple[str, list[Span]]:
        """The text with stand-ins for all finds outside `placed`, and where the stand-ins are now."""
        covered = Covered([*placed, *(m.span() for m in PLACEHOLDER.finditer(text))])
        spots = {(start, end): kind for start, end, kind in finds if not covered.touches(start, end)}
        pieces, position, length, now = [], 0, 0, []
        for (start, end), kind in sorted(spots.items(), key=lambda spot: (spot[0][0], -spot[0][1])):
            if end <= position or text[start:end] in self._fixed or (start < position and kind not in NAME_KINDS):
                continue
            start += max(0, position - start)  # a name keeps what is left of it
            start += len(text[start:end]) - len(text[start:end].lstrip())
            made = self._stand_in(kind, text[start:end])
            length += start - position
            now.append((length, length + len(made)))
            length += len(made)
            pieces += text[position:start], made
            position = end
        return "".join((*pieces, text[position:])), now

    def _stand_in(self, kind: str, value: str) -> str:
        if kind == ARGUMENT:
            return self._arguments[value]
        if not any(c.isalnum() for c in value):
            return value
        made = self._stand_ins.of(kind, value, self._scopes.get(value, self._session))
        self._note(made, kind)
        return made

    def _note(self, made: str, kind: str) -> None:
        self._noted.add(made)
        if len(made) >= SHORTEST_KNOWN or kind == "PERSON":
            self._made.add(made, kind)


def _inside_word(text: str, start: int, end: int) -> bool:
    """Whether a word goes on before or after text[start:end]."""
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    if before and before in "nrtbf" and text[max(0, start - 2) : start - 1] == "\\":
        before = ""  # the letter of an escape such as \n of quoted JSON
    if _SHORT_FORM.match(text, end):
        return True
    return bool((_WORD.match(before) and _WORD.match(text[start])) or (_WORD.match(after) and _WORD.match(text[end - 1])))


def _is_system(message: Any) -> bool:
    return isinstance(message, dict) and message.get("role") in ("system", "developer")


def _varying(request: Json, *without: str) -> Json:
    return {key: value for key, value in request.items() if key not in STATIC and key not in without}


def _messages_and_others(value: Any) -> Iterator[Any]:
    if isinstance(value, dict) and isinstance(value.get("request"), dict):
        yield from _messages_and_others(value["request"])
        yield {key: other for key, other in value.items() if key != "request"}
    elif isinstance(value, dict) and isinstance(value.get("messages"), list):
        yield from value["messages"]
        yield _varying(value, "messages")
    else:
        yield value


def _schema_values(schema: Any, key: str = "") -> Iterator[str]:
    """Names of tools, and the values that their schemas list."""
    if isinstance(schema, dict):
        for inner, value in schema.items():
            yield from _schema_values(value, inner)
    elif isinstance(schema, list):
        for value in schema:
            yield from _schema_values(value, key)
    elif isinstance(schema, str) and key in ("enum", "const", "default", "name"):
        yield schema
