"""What of a request is its structure: system prompt, tools, response format; and the conversation in three simple roles.

Two digests tell structures apart. The exact one covers every byte of the static part. The loose one leaves out what does not
change how an answer is formed (descriptions, titles, defaults): calls that differ only there are one task with variants.
"""

import hashlib
import json
import marshal
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from slm_pipeline import records
from slm_pipeline.answers import render_answer
from slm_pipeline.records import Json, answer_of

NOTES = {"description", "title", "default", "examples"}
SYSTEM_ROLES = {"system", "developer"}


@dataclass(frozen=True)
class Structure:
    """The static part of a request. `system` is None if there is no system prompt, or if it varies and is not static."""

    system: str | None
    exact: str


def structure_of(request: Json, with_system: bool = True) -> Structure:
    """The structure of a request; `with_system=False` counts its system prompt as part of the conversation."""
    system = system_of(request) if with_system else None
    return Structure(system, _digest([system, _form_digests(request)[0]]))


def loose_digest(request: Json, system: str | None) -> str:
    """The digest that leaves out descriptions, titles, defaults and examples of tools and response format."""
    return _digest([system, _form_digests(request)[1]])


def _form_digests(request: Json) -> tuple[str, str]:
    """The exact and the loose digest of tools and response format."""
    return _digests_of(marshal.dumps([request.get("tools") or [], request.get("response_format")], 2))


@lru_cache(maxsize=512)
def _digests_of(form: bytes) -> tuple[str, str]:
    """Of tools and response format in bytes that are made fast: an agent sends the same many kilobytes with every call."""
    tools, response_format = marshal.loads(form)
    shapes = [_shape(tool.get("function")) for tool in tools]
    return _digest([tools, response_format]), _digest([shapes, _shape(response_format)])


def system_of(request: Json) -> str | None:
    """The text of the leading system messages; None if there are none."""
    texts = [text_of(message) for message in _leading(request)]
    return "\n".join(texts) if texts else None


def conversation(request: Json, with_system: bool = False) -> list[Json]:
    """The messages after the system prompt as roles "user" and "assistant", same roles merged with a newline.

    Recorded tool calls become the canonical answer string, tool results "Result: ..." of the user. `with_system=True`
    puts a varying system prompt in front, as part of what the user says.
    """
    messages, system = request["messages"], _leading(request)
    turns = [_turn(message, request.get("tools")) for message in (messages if with_system else messages[len(system) :])]
    return merged(turns)


def merged(turns: list[Json]) -> list[Json]:
    """Messages with neighbours of the same role joined by a newline."""
    made: list[Json] = []
    for turn in turns:
        if made and made[-1]["role"] == turn["role"]:
            made[-1] = turn | {"content": f"{made[-1]['content']}\n{turn['content']}"}
        else:
            made.append(turn)
    return made


def text_of(message: Json) -> str:
    """The text of a message as a file takes it: half surrogate pairs become "?"."""
    return records.text_of(message).encode("utf-8", "replace").decode()


def is_multi_turn(request: Json) -> bool:
    """Whether the model has answered before in this conversation."""
    return any(message.get("role") == "assistant" for message in request["messages"])


def _leading(request: Json) -> list[Json]:
    leading = []
    for message in request["messages"]:
        if message.get("role") not in SYSTEM_ROLES:
            break
        leading.append(message)
    return leading


def _turn(message: Json, tools: list[Json] | None) -> Json:
    role = message.get("role")
    if role == "assistant":
        answer = answer_of(message)
        return {"role": "assistant", "content": render_answer(answer, tools) if answer and answer.tool_calls else text_of(message)}
    text = text_of(message)
    return {"role": "user", "content": f"Result: {text}" if role in ("tool", "function") else text}


def _shape(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_shape(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _shape(child) for name, child in value.items()} if key == "properties" and isinstance(value, dict) else _shape(value)
        for key, value in schema.items()
        if key not in NOTES
    }


def _digest(value: Any) -> str:
    return hashlib.blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=8).hexdigest()
