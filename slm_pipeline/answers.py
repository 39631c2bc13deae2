"""The one textual form of an answer: what an SLM is trained to write, and how its words are read back.

A tool call is `{"name": "f", "arguments": {...}}` with the arguments in the order of the tool's schema, for that is the
order in which schema-constrained decoding writes them; several calls are a JSON list of these; text is the text itself.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from jsonschema_rs import is_valid

from slm_pipeline.records import Answer, Json, ToolCall

__all__ = [
    "answer_form",
    "answer_schema",
    "functions_of",
    "given_answer",
    "json_form",
    "parse_answer",
    "render_answer",
    "resolved",
    "target_answer",
]

# What decoding takes; anything else (formats, patterns, conditions, notes) only loosens the constraint when left out.
_TYPES = {"object", "array", "string", "integer", "number", "boolean", "null"}
_BOUNDS = ("minimum", "maximum", "minItems", "maxItems")


SEPARATORS = {"json": (", ", ": "), "json_compact": (",", ":")}
"""How JSON that a request asked for is written, by form of answer: decoding that is held to it leaves no room for white space elsewhere."""


def render_answer(answer: Answer, tools: list[Json] | None) -> str:
    """The canonical string of an answer. `tools` are those of the request, OpenAI form; unknown arguments come last, sorted."""
    if not answer.tool_calls:
        return answer.text
    schemas = _parameters(tools)
    calls = []
    for call in answer.tool_calls:
        schema = schemas.get(call.name, {})
        calls.append({"name": call.name, "arguments": _ordered(call.arguments, schema, schema)})
    return json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)


def parse_answer(text: str) -> Answer:
    """The answer that a model's words mean; the inverse of `render_answer`. Words that are no call are text."""
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return Answer(text=text)
    calls = parsed if isinstance(parsed, list) else [parsed]
    if not calls or not all(_is_call(call) for call in calls):
        return Answer(text=text)
    return Answer(tool_calls=tuple(ToolCall(call["name"], call["arguments"]) for call in calls))


def given_answer(text: str, tools: list[Json] | None) -> Answer:
    """What a model's words mean where these tools are at hand; without tools they are text, whatever they look like."""
    return parse_answer(text) if tools else Answer(text=text)


def target_answer(example: Mapping) -> Answer:
    """The target of an example ("answer", "form"); text that merely looks like a call stays text."""
    return parse_answer(example["answer"]) if example["form"] == "tool_call" else Answer(text=example["answer"])


def answer_form(answer: Answer) -> str:
    """How the answer is decoded: "text", "tool_call" (one) or "tool_calls" (several at once)."""
    return answer.form if len(answer.tool_calls) < 2 else "tool_calls"


def answer_schema(tools: list[Json] | None, forms: Iterable[str], response_format: Json | None = None) -> Json | None:
    """The JSON schema to which decoding is held; None if an answer may be any text or there are no tools.

    `forms` are the values of `answer_form` that the task's training answers show; or one of SEPARATORS, if all are JSON that
    `response_format` asks for, written that way (`json_form`): then it is the schema.
    """
    forms = set(forms)
    if len(forms) == 1 and forms <= SEPARATORS.keys():
        item, key = SEPARATORS[forms.pop()]
        return _format_schema(response_format) | {
            "x-guidance": {"whitespace_flexible": False, "item_separator": item, "key_separator": key}
        }
    schemas = _parameters(tools)
    if not schemas or not forms or not forms <= {"tool_call", "tool_calls"}:
        return None
    call = {"anyOf": [_call_schema(name, schema) for name, schema in schemas.items()]}
    several = {"type": "array", "items": call, "minItems": 2}
    options = [*(call["anyOf"] if "tool_call" in forms else ()), *([several] if "tool_calls" in forms else ())]
    return {"anyOf": options}


def json_form(text: str, response_format: Json | None) -> str | None:
    """In which of SEPARATORS a text is written, if decoding that is held to `response_format` could have written it: properties stand in
    the schema's order. None for other text."""
    schema = _format_schema(response_format)
    if schema is None:
        return None
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not is_valid(schema, value):
        return None
    written = _ordered(value, schema, schema)
    return next((form for form, of in SEPARATORS.items() if json.dumps(written, ensure_ascii=False, separators=of) == text), None)


def functions_of(tools: list[Json] | None) -> list[Json]:
    """The functions among the tools of a request, OpenAI form; tools that the provider runs itself are no functions."""
    return [tool["function"] for tool in tools or () if "function" in tool]


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _is_call(value: object) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "arguments"}
        and isinstance(value["name"], str)
        and isinstance(value["arguments"], dict)
    )


def _parameters(tools: list[Json] | None) -> dict[str, Json]:
    """Parameter schema by tool name, in the order of the request."""
    return {function["name"]: function.get("parameters") or {} for function in functions_of(tools)}


def resolved(schema: Any, root: Json, seen: frozenset[str] = frozenset()) -> tuple[Json, frozenset[str]]:
    """The schema behind local references; {} (anything) for one that refers to itself or elsewhere."""
    while isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        if reference in seen or not reference.startswith("#/"):
            return {}, seen
        seen |= {reference}
        schema = root
        for part in reference[2:].split("/"):
            schema = schema.get(part, {}) if isinstance(schema, dict) else {}
    return (schema if isinstance(schema, dict) else {}), seen


def _format_schema(response_format: Json | None) -> Json | None:
    """The schema that a request's `response_format` asks for, as decoding takes it; None where any text will do."""
    kind = (response_format or {}).get("type")
    if kind == "json_object":
        return {"type": "object"}
    schema = (response_format.get("json_schema") or {}).get("schema") if kind == "json_schema" else None
    return _decodable(schema, schema) if isinstance(schema, dict) else None


def _ordered(value: Any, schema: Any, root: Json) -> Any:
    schema, _ = resolved(schema, root)
    if isinstance(value, dict):
        branches = [schema, *(resolved(branch, root)[0] for key in ("anyOf", "oneOf", "allOf") for branch in schema.get(key) or ())]
        properties = next((branch["properties"] for branch in branches if branch.get("properties")), {})
        names = [name for name in properties if name in value] + sorted(value.keys() - properties.keys())
        return {name: _ordered(value[name], properties.get(name), root) for name in names}
    if isinstance(value, list):
        return [_ordered(item, schema.get("items"), root) for item in value]
    return value


def _call_schema(name: str, parameters: Json) -> Json:
    arguments = _decodable(parameters, parameters)
    if arguments.get("type") != "object":
        arguments = {"type": "object", "properties": {}, "additionalProperties": False}
    properties = {"name": {"const": name}, "arguments": arguments}
    return {"type": "object", "properties": properties, "required": ["name", "arguments"], "additionalProperties": False}


def _decodable(schema: Any, root: Json, seen: frozenset[str] = frozenset()) -> Json:
    """`schema` in the few words of JSON Schema that llama.cpp decodes: references inlined, objects closed."""
    schema, seen = resolved(schema, root, seen)
    if "const" in schema:
        return {"const": schema["const"]}
    if schema.get("enum"):
        return {"enum": schema["enum"]}
    if branches := schema.get("anyOf") or schema.get("oneOf"):
        return {"anyOf": [_decodable(branch, root, seen) for branch in branches]}
    kinds = schema.get("type")
    kinds = [kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if kind in _TYPES]
    if properties := schema.get("properties"):
        closed = {
            "type": "object",
            "properties": {name: _decodable(child, root, seen) for name, child in properties.items()},
            "required": [name for name in schema.get("required") or () if name in properties],
            "additionalProperties": False,
        }
        return {"anyOf": [closed, {"type": "null"}]} if "null" in kinds else closed
    plain: Json = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
    plain |= {key: schema[key] for key in _BOUNDS if isinstance(schema.get(key), int)}
    if "array" in kinds and schema.get("items"):
        plain["items"] = _decodable(schema["items"], root, seen)
    return plain
