"""Sample traffic: 1,053 real user questions over 233 tool sets, with gold tool calls, as 30 days of one agent's calls.

Source: Berkeley Function Calling Leaderboard, `BFCL_v4_live_multiple`, in the package bfcl-eval (Apache-2.0,
https://github.com/ShishirPatil/gorilla). The questions were contributed by users. The answers are the benchmark's
acceptable ones, not a teacher's; days, order and sessions are ours: shuffled by seed, one question one session.
"""

import ast
import gzip
import json
import random
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

from slm_pipeline.packages import PinnedPackage, fetch
from slm_pipeline.records import AgentCall, Answer, Json, ToolCall, response_of
from slm_pipeline.settings import Settings

PACKAGE = PinnedPackage(
    name="bfcl-eval",
    version="2026.3.23",
    filename="bfcl_eval-2026.3.23-py3-none-any.whl",
    sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
)
QUESTIONS = "bfcl_eval/data/BFCL_v4_live_multiple.json"
ANSWERS = "bfcl_eval/data/possible_answer/BFCL_v4_live_multiple.json"
DAYS = 30
TYPES = {"dict": "object", "float": "number", "tuple": "array"}


def sample_traffic(settings: Settings) -> Path:
    """The sample as a canonical gzip JSONL file, downloaded once; the same seed gives the same bytes. Raises FetchError."""
    path = settings.downloads / f"sample-{settings.first_day}-{settings.seed}.jsonl.gz"
    if not path.exists():
        questions = fetch(PACKAGE, QUESTIONS, settings.downloads / "bfcl_questions.jsonl")
        answers = fetch(PACKAGE, ANSWERS, settings.downloads / "bfcl_answers.jsonl")
        calls = sample_calls(_lines(questions), _lines(answers), settings)
        text = "".join(call.to_json() + "\n" for call in calls)
        part = path.with_suffix(".part")
        part.write_bytes(gzip.compress(text.encode(), mtime=0))
        part.replace(path)
    return path


def sample_calls(questions: list[Json], answers: list[Json], settings: Settings) -> list[AgentCall]:
    """One call per question, in shuffled order, evenly over `DAYS` days from `settings.first_day`."""
    gold = {answer["id"]: answer["ground_truth"][0] for answer in answers}
    order = sorted(questions, key=lambda question: question["id"])
    random.Random(settings.seed).shuffle(order)
    start = datetime.combine(settings.first_day, time(), UTC).timestamp()
    step = timedelta(days=DAYS).total_seconds() / len(order)
    return [_call(question, gold[question["id"]], start + int(i * step)) for i, question in enumerate(order)]


def _call(question: Json, gold: Json, timestamp: float) -> AgentCall:
    tools = [tool_of(function) for function in question["function"]]
    ((name, accepted),) = gold.items()
    name = tool_name(name)
    schema = next(tool["function"]["parameters"] for tool in tools if tool["function"]["name"] == name)
    properties = schema["properties"]
    answer = Answer(tool_calls=(ToolCall(name, gold_arguments(accepted, schema)),))
    response = response_of(answer, "gold")
    return AgentCall(
        id=question["id"],
        timestamp=timestamp,
        agent="bfcl-live-multiple",
        session_id=question["id"],
        client_id="sample",
        request={"model": "gold", "messages": question["question"][0], "tools": tools},
        response=response,
        outcome={
            "success": True,
            "gold": response["choices"][0]["message"],
            "accepted_values": {key: [_gold_value(v, properties.get(key, {})) for v in values] for key, values in accepted.items()},
            "optional_arguments": sorted(key for key, values in accepted.items() if _optional(key, values, schema)),
        },
    )


def tool_name(name: str) -> str:
    """A BFCL function name as an OpenAI tool name: dots are not allowed there."""
    return name.replace(".", "_")


def tool_of(function: Json) -> Json:
    """A BFCL function description in the OpenAI form."""
    parameters = json_schema(function["parameters"])
    return {
        "type": "function",
        "function": {"name": tool_name(function["name"]), "description": function["description"], "parameters": parameters},
    }


def json_schema(schema: Json) -> Json:
    """A BFCL parameter schema (Python type names) as JSON schema; `any` allows every type, a null default is no default."""
    made = {key: value for key, value in schema.items() if key != "type" and not (key == "default" and value is None)}
    if (kind := schema.get("type")) not in (None, "any"):
        made["type"] = TYPES.get(kind, kind)
    if isinstance(schema.get("properties"), dict):
        made["properties"] = {key: json_schema(value) for key, value in schema["properties"].items()}
    if isinstance(schema.get("items"), dict):
        made["items"] = json_schema(schema["items"])
    return made


def gold_arguments(accepted: Json, schema: Json) -> Json:
    """The gold call's arguments: of each the first acceptable value; those that may be omitted ("" or null) are left out."""
    properties = schema.get("properties", {})
    return {
        key: _gold_value(next((value for value in values if value != ""), ""), properties.get(key, {}))
        for key, values in accepted.items()
        if not _optional(key, values, schema)
    }


def _optional(key: str, values: list, schema: Json) -> bool:
    return ("" in values or None in values) and key not in schema.get("required", ())


def _gold_value(value: Any, schema: Json) -> Any:
    """An acceptable value with its inner choices made, in the schema's type."""
    kind = schema.get("type")
    if isinstance(value, dict) and "properties" in schema:
        return gold_arguments({key: inner if isinstance(inner, list) else [inner] for key, inner in value.items()}, schema)
    if isinstance(value, dict):
        return {key: inner[0] if isinstance(inner, list) and inner else inner for key, inner in value.items()}
    if isinstance(value, list):
        return [_gold_value(item, schema.get("items", {})) for item in value]
    if kind in ("integer", "number", "boolean", "array", "object") and isinstance(value, str):
        return _literal(value, kind)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "string" and isinstance(value, bool | int | float):
        return str(value)
    return value


def _literal(value: str, kind: str) -> Any:
    """What a string spells ("10", "true", "[1, 2]") if it has the JSON type `kind`; else the string."""
    types = {"integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    try:
        found = ast.literal_eval({"true": "True", "false": "False"}.get(value.lower(), value))
    except (ValueError, SyntaxError):
        return value
    return found if isinstance(found, types[kind]) else value


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
