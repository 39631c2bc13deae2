"""How well one answer agrees with another. Pure functions on `Answer`; S4's probe, S6's report and replay all score with these."""

import json
import re
import unicodedata
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jsonschema_rs import ValidationError, validator_for
from rapidfuzz.distance import Indel

from slm_pipeline.answers import render_answer
from slm_pipeline.records import Answer, Json, ToolCall, answer_of

NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Grade:
    """Agreement of a given answer with its target (fidelity), and with gold (correctness), kept apart.

    exact: canonical strings are equal. tool: the same tools are called; None if the target is text. call: the whole call
    agrees, arguments compared as what the schema says they are; for a text target, equal but for white space. valid: fits
    the tools' schemas, or is text where text was due. similarity: 0 to 1. correct: agrees with gold; None without gold.
    """

    exact: bool
    tool: bool | None
    call: bool
    valid: bool
    similarity: float
    correct: bool | None


SCORES = ("exact", "tool", "call", "valid", "similarity", "correct")


def grade(target: Answer, given: Answer | None, tools: list[Json], outcome: Json | None = None) -> Grade:
    """Score `given` against `target`, and against `outcome["gold"]` if there is one. None is an answer that never came."""
    gold = answer_of(outcome["gold"]) if outcome and isinstance(outcome.get("gold"), dict) else None
    called = target.form == "tool_call"
    if given is None:
        return Grade(False, False if called else None, False, False, 0.0, False if gold else None)
    rendered = render_answer(target, tools), render_answer(given, tools)
    return Grade(
        exact=rendered[0] == rendered[1],
        tool=tool_names(target) == tool_names(given) if called else None,
        call=agree(target, given, tools),
        valid=_fits(given, tools) if given.tool_calls else not called and bool(given.text.strip()),
        similarity=Indel.normalized_similarity(*rendered),
        correct=is_correct(given, gold, outcome, tools) if gold else None,
    )


def tool_names(answer: Answer) -> tuple[str, ...]:
    """The names of the tools an answer calls, in order; empty for text."""
    return tuple(call.name for call in answer.tool_calls)


def agree(one: Answer, other: Answer, tools: list[Json]) -> bool:
    """Whether two answers say the same: the same calls in the same order with the same typed arguments, or the same text.

    Text is compared as it is but for runs of white space. Symmetric.
    """
    if one.form != other.form or tool_names(one) != tool_names(other):
        return False
    if one.form == "text":
        return one.text.split() == other.text.split()
    return all(_typed_call(a, tools) == _typed_call(b, tools) for a, b in zip(one.tool_calls, other.tool_calls, strict=True))


def is_correct(given: Answer, gold: Answer, outcome: Json, tools: list[Json]) -> bool:
    """Whether `given` agrees with gold, where `outcome` may widen what a single gold call accepts.

    `accepted_values` {argument: [values]}: any of these is right. `optional_arguments` [argument]: may be left out.
    """
    accepted = outcome.get("accepted_values")
    if not accepted or len(gold.tool_calls) != 1 or tool_names(given) != tool_names(gold):
        return agree(gold, given, tools)
    call, golden = given.tool_calls[0], gold.tool_calls[0]
    properties = _mapping(_parameters(golden.name, tools).get("properties"))
    optional = set(outcome.get("optional_arguments") or ())
    values = {
        name: [*accepted.get(name, ()), *([golden.arguments[name]] if name in golden.arguments else [])]
        for name in {**accepted, **golden.arguments}
    }

    def right(argument: str) -> bool:
        of = _mapping(properties.get(argument))
        accepts = {typed(value, of) for value in values.get(argument, ())}
        default = {typed(of["default"], of)} if "default" in of else set()
        may_be_omitted = argument in optional or not accepts
        if argument in call.arguments:
            return typed(call.arguments[argument], of) in (accepts | default if may_be_omitted else accepts)
        return may_be_omitted or bool(accepts & default)

    return all(map(right, {*call.arguments, *values}))


def typed(value: Any, schema: Mapping) -> Hashable:
    """`value` in a form that is equal, and hashes equal, for values that mean the same under `schema`.

    Numbers compare as numbers, and so does a numeric string where the schema wants a number. Booleans and null are
    themselves. Strings ignore Unicode composition, runs of white space, and case. An omitted property equals its default.
    """
    if isinstance(value, str):
        if _types(schema) & {"number", "integer"} and "string" not in _types(schema) and NUMBER.fullmatch(value.strip()):
            return typed(json.loads(value.strip()), {})
        return "string", unicodedata.normalize("NFC", unicodedata.normalize("NFC", " ".join(value.split())).casefold())
    if isinstance(value, list):
        return "array", tuple(typed(item, _mapping(schema.get("items"))) for item in value)
    if isinstance(value, dict):
        of = _mapping(schema.get("properties"))
        pairs = {key: typed(item, _mapping(of.get(key))) for key, item in value.items()}
        defaults = {key: typed(s["default"], s) for key, s in of.items() if isinstance(s, dict) and "default" in s}
        return "object", frozenset((key, item) for key, item in pairs.items() if key not in defaults or defaults[key] != item)
    return "boolean" if isinstance(value, bool) else "number", value


def _typed_call(call: ToolCall, tools: list[Json]) -> Hashable:
    return typed(call.arguments, _parameters(call.name, tools))


def _types(schema: Mapping) -> set[str]:
    """The JSON types a schema names, itself or in its alternatives."""
    own = schema.get("type") or ()
    branches = [branch for key in ("anyOf", "oneOf") for branch in schema.get(key) or () if isinstance(branch, dict)]
    return ({own} if isinstance(own, str) else set(own)).union(*map(_types, branches))


def _mapping(schema: Any) -> Mapping:
    return schema if isinstance(schema, dict) else {}


def _parameters(name: str, tools: list[Json]) -> Json:
    """The schema of a tool's arguments; {} if there is no such tool or it takes anything."""
    return next((tool["function"].get("parameters") or {} for tool in tools if tool["function"]["name"] == name), {})


def _fits(answer: Answer, tools: list[Json]) -> bool:
    known = {tool["function"]["name"] for tool in tools}
    return all(call.name in known and _validator(_schema(call, tools))(call.arguments) for call in answer.tool_calls)


def _schema(call: ToolCall, tools: list[Json]) -> str:
    return json.dumps(_parameters(call.name, tools), sort_keys=True)


@lru_cache(maxsize=1024)
def _validator(schema: str):
    """A check of arguments against a schema given as JSON; a schema that is itself malformed accepts anything."""
    try:
        return validator_for(json.loads(schema)).is_valid
    except ValidationError:
        return lambda arguments: True
