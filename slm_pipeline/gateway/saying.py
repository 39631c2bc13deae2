"""An SLM's answer, a chat completion, in the words of the API that was called: whole, and as the events of a stream."""

import json
from collections.abc import Iterator
from typing import Any

from slm_pipeline.gateway import sse
from slm_pipeline.records import Json

STOPS = {"stop": "end_turn", "tool_calls": "tool_use"}


def chat(completion: Json, request: Json) -> Json:
    """As a chat completion, which it is."""
    return completion


def chat_events(said: Json, request: Json) -> Iterator[bytes]:
    """The chunks of a chat completion's stream: what is said in one, then how it ends."""
    message = said["choices"][0]["message"]
    calls = [{"index": i, **call} for i, call in enumerate(message.get("tool_calls", ()))]
    yield _chunk(said, {"role": "assistant", "content": message["content"]} | ({"tool_calls": calls} if calls else {}))
    yield from chat_end(said, request)


def chat_piece(head: Json, text: str) -> bytes:
    """The chunk that says a piece of a chat completion that has begun with `head`."""
    return _chunk(head, {"role": "assistant", "content": text})


def chat_end(said: Json, request: Json) -> Iterator[bytes]:
    """The chunks that end it."""
    yield _chunk(said, {}, said["choices"][0]["finish_reason"])
    if (request.get("stream_options") or {}).get("include_usage"):
        yield sse.event_of(_chunk_head(said) | {"choices": [], "usage": said["usage"]})
    yield b"data: [DONE]\n\n"


def _chunk(head: Json, delta: Json, finish: str | None = None) -> bytes:
    return sse.event_of(_chunk_head(head) | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


def _chunk_head(head: Json) -> Json:
    return {key: head[key] for key in ("id", "created", "model")} | {"object": "chat.completion.chunk"}


def message(completion: Json, request: Json) -> Json:
    """As an Anthropic message."""
    choice, usage = completion["choices"][0], completion["usage"]
    text, calls = choice["message"]["content"], choice["message"].get("tool_calls", ())
    blocks: list[Json] = [{"type": "text", "text": text}] if text else []
    for call in calls:
        of = call["function"]
        blocks.append({"type": "tool_use", "id": f"toolu_{call['id'][5:]}", "name": of["name"], "input": json.loads(of["arguments"])})
    return {
        "id": f"msg_{completion['id'].rpartition('-')[2]}",
        "type": "message",
        "role": "assistant",
        "model": completion["model"],
        "content": blocks,
        "stop_reason": STOPS[choice["finish_reason"]],
        "stop_sequence": None,
        "usage": {"input_tokens": usage["prompt_tokens"], "output_tokens": usage["completion_tokens"]},
    }


def message_events(said: Json, request: Json) -> Iterator[bytes]:
    """The events of a message's stream."""

    def event(kind: str, **fields: Any) -> bytes:
        return sse.event_of({"type": kind, **fields}, kind)

    yield event("message_start", message=said | {"content": [], "stop_reason": None, "usage": said["usage"] | {"output_tokens": 0}})
    for index, block in enumerate(said["content"]):
        called = block["type"] == "tool_use"
        yield event("content_block_start", index=index, content_block=block | ({"input": {}} if called else {"text": ""}))
        delta = (
            {"type": "input_json_delta", "partial_json": json.dumps(block["input"], ensure_ascii=False)}
            if called
            else {"type": "text_delta", "text": block["text"]}
        )
        yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    ended = {"stop_reason": said["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=ended, usage={"output_tokens": said["usage"]["output_tokens"]})
    yield event("message_stop")


def response(completion: Json, request: Json) -> Json:
    """As a response of OpenAI's Responses API."""
    message, usage, number = completion["choices"][0]["message"], completion["usage"], completion["id"].rpartition("-")[2]
    output: list[Json] = []
    if text := message["content"]:
        part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        output.append({"id": f"msg_{number}", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    for i, call in enumerate(message.get("tool_calls", ())):
        named = {"id": f"fc_{number}{i}", "call_id": call["id"], **call["function"]}
        output.append(named | {"type": "function_call", "status": "completed"})
    kept = ("instructions", "max_output_tokens", "temperature", "top_p", "text", "reasoning", "truncation", "user")
    return {key: request.get(key) for key in kept} | {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": completion["created"],
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "model": completion["model"],
        "output": output,
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": None,
        "store": False,
        "tool_choice": request.get("tool_choice", "auto"),
        "tools": request.get("tools", []),
        "metadata": request.get("metadata") or {},
        "usage": {
            "input_tokens": usage["prompt_tokens"],
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": usage["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": usage["total_tokens"],
        },
    }


def response_events(said: Json, request: Json) -> Iterator[bytes]:
    """The events of a response's stream."""
    number = iter(range(10**9))

    def event(kind: str, **fields: Any) -> bytes:
        return sse.event_of({"type": kind, "sequence_number": next(number), **fields}, kind)

    begun = said | {"status": "in_progress", "output": [], "usage": None}
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    for index, item in enumerate(said["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        if item["type"] == "message":
            (part,) = item["content"]
            yield event("response.output_item.added", output_index=index, item=item | {"status": "in_progress", "content": []})
            yield event("response.content_part.added", **at, content_index=0, part=part | {"text": ""})
            yield event("response.output_text.delta", **at, content_index=0, delta=part["text"], logprobs=[])
            yield event("response.output_text.done", **at, content_index=0, text=part["text"], logprobs=[])
            yield event("response.content_part.done", **at, content_index=0, part=part)
        else:
            yield event("response.output_item.added", output_index=index, item=item | {"status": "in_progress", "arguments": ""})
            yield event("response.function_call_arguments.delta", **at, delta=item["arguments"])
            yield event("response.function_call_arguments.done", **at, arguments=item["arguments"], name=item["name"])
        yield event("response.output_item.done", output_index=index, item=item)
    yield event("response.completed", response=said)
