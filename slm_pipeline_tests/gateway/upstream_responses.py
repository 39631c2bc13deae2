"""The OpenAI Responses API in the recorded upstream's words."""

import time
from uuid import uuid4

from slm_pipeline_tests.gateway.upstream_answers import Asked, Json, answer, event, last, pieces, texts, tokens, trailing
from slm_pipeline_tests.gateway.upstream_chat import error, user  # noqa: F401  one form of error in all of OpenAI's APIs


def asked(body: Json) -> Asked:
    items = [{"role": "user", "content": body["input"]}] if isinstance(body["input"], str) else body["input"]
    choice = body.get("tool_choice")
    tools = {} if choice == "none" else {t["name"]: t.get("parameters", {}) for t in body.get("tools") or () if t["type"] == "function"}
    return Asked(
        body["model"],
        texts(last(items, lambda item: item.get("role") == "user").get("content")),
        [texts(item["output"]) for item in trailing(items, lambda item: item.get("type") == "function_call_output")],
        tools,
        choice["name"] if isinstance(choice, dict) else None,
        body.get("parallel_tool_calls") is not False,
        ((body.get("text") or {}).get("format") or {}).get("schema"),
    )


def respond(body: Json) -> Json:
    """The whole response."""
    said = answer(asked(body))
    output: list[Json] = [
        {"type": "function_call", "id": f"fc_{i}", "call_id": f"call_{i}", "name": name, "arguments": arguments, "status": "completed"}
        for i, name, arguments in said.calls
    ]
    if said.text:
        part = {"type": "output_text", "text": said.text, "annotations": [], "logprobs": []}
        output = [{"type": "message", "id": f"msg_{uuid4().hex}", "role": "assistant", "status": "completed", "content": [part]}]
    prompt = tokens([body.get("instructions"), body["input"], body.get("tools")])
    response = {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": [] if body["model"] == "empty" else output,
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "store": True,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": body.get("tools") or [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": said.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + said.tokens,
        },
        "user": None,
        "metadata": body.get("metadata") or {},
    }
    return response | ({"x_top": {"weights": [0.25, None, "ß"]}} if body["model"] == "unknown-fields" else {})


def stream(body: Json) -> list[str]:
    """The server-sent events that say what `respond` says, as OpenAI cuts them."""
    response = respond(body)
    start = response | {"status": "in_progress", "output": [], "usage": None}
    events: list[Json] = [{"type": "response.created", "response": start}, {"type": "response.in_progress", "response": start}]
    for i, item in enumerate(response["output"]):
        place = {"item_id": item["id"], "output_index": i}
        if item["type"] == "message":
            part, empty = item["content"][0], {"content": []}
            text = place | {"content_index": 0}
            inner = [{"type": "response.content_part.added", "part": part | {"text": ""}} | text]
            inner += [{"type": "response.output_text.delta", "delta": p, "logprobs": []} | text for p in pieces(part["text"])]
            inner.append({"type": "response.output_text.done", "text": part["text"], "logprobs": []} | text)
            inner.append({"type": "response.content_part.done", "part": part} | text)
        else:
            arguments, empty = item["arguments"], {"arguments": ""}
            inner = [{"type": "response.function_call_arguments.delta", "delta": p} | place for p in pieces(arguments)]
            inner.append({"type": "response.function_call_arguments.done", "name": item["name"], "arguments": arguments} | place)
        added = item | {"status": "in_progress"} | empty
        events.append({"type": "response.output_item.added", "output_index": i, "item": added})
        events += [*inner, {"type": "response.output_item.done", "output_index": i, "item": item}]
    events.append({"type": "response.completed", "response": response})
    return [event(e | {"sequence_number": number}) for number, e in enumerate(events)]


def error_event(message: str) -> str:
    return event({"type": "error", "code": "server_error", "message": message, "param": None, "sequence_number": 3})
