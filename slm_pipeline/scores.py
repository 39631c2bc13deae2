"""How well one answer agrees with another. Pure functions on `Answer`; S4's probe, S6's report and replay all score with these.

What makes two arguments of a tool call mean the same stands in `arguments.py`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from statistics import fmean
from typing import Any

from jsonschema_rs import ValidationError, validator_for
from rapidfuzz.distance import Indel

from slm_pipeline.answers import functions_of, render_answer
from slm_pipeline.arguments import agreement, same
from slm_pipeline.records import Answer, Json, ToolCall, answer_of
from slm_pipeline.settings import Leeway

LEEWAY = Leeway()


@dataclass(frozen=True)
class Grade:
    """Agreement of a given answer with its target (fidelity), and with gold (correctness), kept apart.

    exact: canonical strings are equal. tool: the same tools are called; None if the target is text. arguments: share of the
    arguments that mean the same, 0 to 1; None if the target is text. call: the whole call agrees, every argument compared as what
    the schema says it is; for a text target, equal but for white space. valid: fits the tools' schemas, or is text where text was
    due. similarity: 0 to 1. correct: agrees with gold; None without gold.
    """

    exact: bool
    tool: bool | None
    arguments: float | None
    call: bool
    valid: bool
    similarity: float
    correct: bool | None


SCORES = ("exact", "tool", "arguments", "call", "valid", "similarity", "correct")


def grade(
    target: Answer,
    given: Answer | None,
    tools: list[Json],
    outcome: Json | None = None,
    leeway: Leeway = LEEWAY,
    response_format: Json | None = None,
) -> Grade:
    """Score `given` against `target`, and against `outcome["gold"]` if there is one.

    None is an answer that never came. `response_format` is that of the request, OpenAI form.
    """
    gold = answer_of(outcome["gold"]) if outcome and isinstance(outcome.get("gold"), dict) else None
    called = target.form == "tool_call"
    if given is None:
        none = (False, 0.0) if called else (None, None)
        return Grade(False, *none, False, False, 0.0, False if gold else None)
    rendered = render_answer(target, tools), render_answer(given, tools)
    return Grade(
        exact=rendered[0] == rendered[1],
        tool=tool_names(target) == tool_names(given) if called else None,
        arguments=_argument_share(target, given, tools, leeway) if called else None,
        call=agree(target, given, tools, leeway),
        valid=fits(given, tools) if given.tool_calls else not called and _in_format(given.text, response_format),
        similarity=Indel.normalized_similarity(*rendered),
        correct=is_correct(given, gold, outcome, tools, leeway) if gold else None,
    )


def tool_names(answer: Answer) -> tuple[str, ...]:
    """The names of the tools an answer calls, in order; empty for text."""
    return tuple(call.name for call in answer.tool_calls)


def agree(one: Answer, other: Answer, tools: list[Json], leeway: Leeway = LEEWAY) -> bool:
    """Whether two answers say the same: the same calls in the same order whose arguments mean the same, or the same text.

    Text is compared as it is but for runs of white space. Symmetric.
    """
    if one.form != other.form or tool_names(one) != tool_names(other):
        return False
    if one.form == "text":
        return one.text.split() == other.text.split()
    return all(all(found.values()) for found in _agreements(one, other, tools, leeway))


def fidelity(given: Answer | None, teacher: Answer, tools: list[Json], leeway: Leeway = LEEWAY) -> float:
    """Agreement with what the teacher said, right or wrong: 1 or 0 for tool calls, similarity for text."""
    if given is None:
        return 0.0
    if teacher.tool_calls:
        return float(agree(teacher, given, tools, leeway))
    return Indel.normalized_similarity(teacher.text, render_answer(given, tools))


def wrong_arguments(target: Answer, given: Answer, tools: list[Json], leeway: Leeway = LEEWAY) -> list[str]:
    """The arguments by which two answers that call the same tools differ, "tool.argument", in order; else empty."""
    if tool_names(target) != tool_names(given):
        return []
    found = zip(tool_names(target), _agreements(target, given, tools, leeway), strict=True)
    return list(dict.fromkeys(f"{tool}.{name}" for tool, of in found for name, right in of.items() if not right))


def same_answer(target: Answer, given: Answer, tools: list[Json], leeway: Leeway, similarity_pass: float) -> bool:
    """Whether one answer does for the other: the same calls, or text of at least that similarity."""
    return fidelity(given, target, tools, leeway) >= (similarity_pass if target.form == "text" else 1)


def is_correct(given: Answer, gold: Answer, outcome: Json, tools: list[Json], leeway: Leeway = LEEWAY) -> bool:
    """Whether `given` agrees with gold, where `outcome` may widen what a single gold call accepts.

    `accepted_values` {argument: [values]}: any of these is right. `optional_arguments` [argument]: may be left out.
    """
    accepted = outcome.get("accepted_values")
    if not accepted or len(gold.tool_calls) != 1 or tool_names(given) != tool_names(gold):
        return agree(gold, given, tools, leeway)
    call, golden = given.tool_calls[0], gold.tool_calls[0]
    parameters = _parameters(golden.name, tools)
    properties = _mapping(parameters.get("properties"))
    optional = set(outcome.get("optional_arguments") or ())
    values = {
        name: [*accepted.get(name, ()), *([golden.arguments[name]] if name in golden.arguments else [])]
        for name in {**accepted, **golden.arguments}
    }

    def right(argument: str) -> bool:
        of = _mapping(properties.get(argument))

        def among(value: Any, accepts: list) -> bool:
            return any(same(value, accept, of, leeway, argument, parameters) for accept in accepts)

        accepts, default = values.get(argument, []), [of["default"]] if "default" in of else []
        may_be_omitted = argument in optional or not accepts
        if argument in call.arguments:
            return among(call.arguments[argument], accepts + (default if may_be_omitted else []))
        return may_be_omitted or any(among(value, accepts) for value in default)

    return all(map(right, {*call.arguments, *values}))


def _argument_share(target: Answer, given: Answer, tools: list[Json], leeway: Leeway) -> float:
    """The share of the arguments of either answer that mean the same in both, averaged over calls; 0 for a call of another tool."""
    shares = []
    for one, other in zip_longest(target.tool_calls, given.tool_calls):
        if one is None or other is None or one.name != other.name:
            shares.append(0.0)
        else:
            found = _agreement(one, other, tools, leeway)
            shares.append(fmean(found.values()) if found else 1.0)
    return fmean(shares)


def _agreements(one: Answer, other: Answer, tools: list[Json], leeway: Leeway) -> list[dict[str, bool]]:
    return [_agreement(a, b, tools, leeway) for a, b in zip(one.tool_calls, other.tool_calls, strict=True)]


def _agreement(one: ToolCall, other: ToolCall, tools: list[Json], leeway: Leeway) -> dict[str, bool]:
    return agreement(one.arguments, other.arguments, _parameters(one.name, tools), leeway)


def _mapping(schema: Any) -> Mapping:
    return schema if isinstance(schema, dict) else {}


def _parameters(name: str, tools: list[Json]) -> Json:
    """The schema of a tool's arguments; {} if there is no such tool or it takes anything."""
    return next((_mapping(function.get("parameters")) for function in functions_of(tools) if function["name"] == name), {})


def fits(answer: Answer, tools: list[Json]) -> bool:
    """Whether every call is of one of the `tools`, OpenAI form, and has arguments that its schema allows."""
    known = {function["name"] for function in functions_of(tools)}
    return all(call.name in known and _validator(_schema(call, tools))(call.arguments) for call in answer.tool_calls)


def _schema(call: ToolCall, tools: list[Json]) -> str:
    return json.dumps(_parameters(call.name, tools), sort_keys=True)


def _in_format(text: str, response_format: Json | None) -> bool:
    """Whether a text says anything, and is the JSON that the request asked for."""
    wanted = _mapping(response_format)
    if wanted.get("type") not in ("json_object", "json_schema"):
        return bool(text.strip())
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    schema = _mapping(_mapping(wanted.get("json_schema")).get("schema"))
    return isinstance(value, dict) if not schema else _validator(json.dumps(schema, sort_keys=True))(value)


@lru_cache(maxsize=1024)
def _validator(schema: str):
    """A check of arguments against a schema given as JSON; a schema that is itself malformed accepts anything."""
    try:
        return validator_for(json.loads(schema)).is_valid
    except ValidationError:
        return lambda arguments: True
