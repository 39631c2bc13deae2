"""Anthropic messages in the recorded upstream's words."""

import json
from uuid import uuid4

from slm_pipeline_tests.gateway.upstream_answers import Asked, Json, answer, event, last, pieces, texts, tokens

ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}


def user(body: Json):
    return (body.get("metadata") or {}).get("user_id")


def asked(body: Json) -> Asked:
    choice = body.get("tool_choice") or {}
    tools = {} if choice.get("type") == "none" else {tool["name"]: tool["input_schema"] for tool in body.get("tools") or ()}
    parts = body["messages"][-1]["content"]
    results = [] if isinstance(parts, str) else [texts(part.get("content")) for part in parts if part["type"] == "tool_result"]
    question = last(body["messages"], lambda m: m["role"] == "user" and not any("tool_use_id" in part for part in m["content"]))
    form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
    return Asked(
        body["model"],
        texts(question.get("content")),
        results,
        tools,
        choice.get("name"),
        not choice.get("disable_parallel_tool_use"),
        form.get("schema"),
    )


def respond(body: Json) -> Json:
    """The whole message; calls of tools come after a few words, as Claude makes them."""
    said = answer(asked(body))
    text = "I will look that up." if said.calls else said.text
    content: list[Json] = [{"type": "text", "text": text, "citations": None}]
    content += [{"type": "tool_use", "id": f"toolu_{i}", "name": name, "input": json.loads(arguments)} for i, name, arguments in said.calls]
    response = {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [] if body["model"] == "empty" else content,
        "stop_reason": "tool_use" if said.calls else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": tokens([body.get("system"), body["messages"], body.get("tools")]),
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said.tokens + len(pieces(text)),
            "service_tier": "standard",
        },
    }
    return response | ({"x_top": {"weights": [0.25, None, "ß"]}} if body["model"] == "unknown-fields" else {})


def stream(body: Json) -> list[str]:
    """The server-sent events that say what `respond` says, as Anthropic cuts them."""
    response = respond(body)
    start = response | {"content": [], "stop_reason": None, "usage": response["usage"] | {"output_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": start}]
    for i, block in enumerate(response["content"]):
        if block["type"] == "text":
            empty, parts = block | {"text": ""}, [{"type": "text_delta", "text": p} for p in pieces(block["text"])]
        else:
            arguments = json.dumps(block["input"], ensure_ascii=False)
            empty, parts = block | {"input": {}}, [{"type": "input_json_delta", "partial_json": p} for p in ["", *pieces(arguments)]]
        events.append({"type": "content_block_start", "index": i, "content_block": empty})
        events += [{"type": "ping"}] if i == 0 else []
        events += [{"type": "content_block_delta", "index": i, "delta": part} for part in parts]
        events.append({"type": "content_block_stop", "index": i})
    end = {"stop_reason": response["stop_reason"], "stop_sequence": None}
    events.append({"type": "message_delta", "delta": end, "usage": {"output_tokens": response["usage"]["output_tokens"]}})
    return [event(e) for e in [*events, {"type": "message_stop"}]]


def error(status: int, message: str) -> Json:
    return {"type": "error", "error": {"type": ERRORS[status], "message": message}, "request_id": f"req_{uuid4().hex}"}


def error_event(message: str) -> str:
    return event({"type": "error", "error": {"type": "overloaded_error", "message": message}})
