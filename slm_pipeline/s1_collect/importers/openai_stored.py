"""OpenAI's stored chat completions and responses: the objects that `GET /v1/chat/completions` lists, each with its `messages`.

Their messages come from `GET /v1/chat/completions/{id}/messages` (of a response: `GET /v1/responses/{id}/input_items`) and stand
under `messages` or `input`. Agent, client and session are read from `metadata`; else the client is the request's `user`, the agent
is "unknown", and sessions are rebuilt.
"""

from collections.abc import Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.bodies import call_of_bodies
from slm_pipeline.s1_collect.importers.fields import Found

# what a stored object repeats of its request
ASKED = (
    *("model", "tools", "tool_choice", "response_format", "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"),
    *("metadata", "user", "input_user", "safety_identifier", "instructions", "text", "reasoning", "max_output_tokens"),
    *("previous_response_id", "conversation", "parallel_tool_calls", "max_completion_tokens"),
)
LISTED = {"chat.completion": "/v1/chat/completions/{id}/messages", "response": "/v1/responses/{id}/input_items"}


def recognises(record: Json) -> bool:
    return record.get("object") in ("chat.completion", "response")


def calls(record: Json) -> Iterator[Found | str]:
    kind = "response" if record.get("object") == "response" else "chat.completion"
    asked = next((record[name] for name in ("messages", "input", "input_items") if record.get(name)), None)
    asked = asked["data"] if isinstance(asked, dict) and isinstance(asked.get("data"), list) else asked
    if asked is None:
        yield f"the request's messages are missing: add what GET {LISTED[kind]} lists as 'messages'"
        return
    request = {name: record[name] for name in ASKED if record.get(name) is not None}
    if kind == "response":
        request["input"] = asked
    else:
        request["messages"] = [_message(m) for m in asked] if isinstance(asked, list) else [{"role": "user", "content": asked}]
    response = {key: value for key, value in record.items() if key not in ("messages", "input", "input_items")}
    yield call_of_bodies(request, response, {})


def _message(message: object) -> object:
    """A listed message without its own id; its parts stand beside its content where it has any."""
    if not isinstance(message, dict):
        return message
    made = {key: value for key, value in message.items() if key not in ("id", "content_parts") and value is not None}
    return made | ({"content": message["content_parts"]} if message.get("content_parts") else {})
