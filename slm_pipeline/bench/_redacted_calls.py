"""What redaction does to recorded calls: whether a model can still learn from them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema_rs

from slm_pipeline.records import AgentCall, Json, ToolCall, response_answer
from slm_pipeline.s2_curate.curation import redaction_of
from slm_pipeline.settings import Settings


def redacted_calls(calls: Iterable[AgentCall], settings: Settings) -> Json:
    """`altered`: share of calls in which anything was replaced. `arguments`: texts among the arguments of answers that stood in the
    prompt, `arguments_kept`: the share of these of which that is still so. `tool_calls_broken`: answers' calls that fitted the schema of
    their tool and do so no more. `left`: finds that redaction left, as the pipeline counts them."""
    counts: Counter[str] = Counter()
    for call in calls:
        answer = response_answer(call.response)
        given = [[c.name, c.arguments] for c in answer.tool_calls] if answer else []
        redaction = redaction_of(call, settings, also=(given, answer and answer.text))
        request = redaction.request(call.request)
        made = [ToolCall(name, redaction.data(arguments)) for name, arguments in given]
        counts.update(n=1, altered=request != call.request, left=sum(redaction.left({"request": request}).values()))
        before, after = "\n".join(_texts(call.request["messages"])), "\n".join(_texts(request["messages"]))
        for old, new in zip(answer.tool_calls if answer else (), made, strict=True):
            schema = _schema(call.request, old.name)
            counts["tool_calls_broken"] += jsonschema_rs.is_valid(schema, old.arguments) > jsonschema_rs.is_valid(schema, new.arguments)
            for one, other in zip(_texts(old.arguments), _texts(new.arguments), strict=True):
                counts["arguments"] += one in before
                counts["kept"] += one in before and other in after
    return {
        "n": counts["n"],
        "altered": round(counts["altered"] / counts["n"], 4),
        "arguments": counts["arguments"],
        "arguments_kept": round(counts["kept"] / counts["arguments"], 4) if counts["arguments"] else None,
        "tool_calls_broken": counts["tool_calls_broken"],
        "left": counts["left"],
    }


def _schema(request: Json, name: str) -> Json:
    functions = [tool["function"] for tool in request.get("tools") or ()]
    return next((function.get("parameters") or {} for function in functions if function["name"] == name), {})


def _texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value, those in quoted JSON too, and the keys of objects."""
    if isinstance(value, str):
        inner = _parsed(value)
        if inner is None:
            yield value
        else:
            yield from _texts(inner)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except ValueError:
        return None
