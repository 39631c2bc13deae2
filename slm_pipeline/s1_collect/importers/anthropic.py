"""Anthropic's Messages API in the words of OpenAI chat completions.

Total: whatever stands in a body, nothing raises; keys that OpenAI does not know stay as they are, beside those it knows.
Thinking is no part of an answer: its blocks stay under the key `thinking` of the message they came in.
"""

from collections.abc import Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import tool_call

RENAMED = {"stop_sequences": "stop"}
CONVERTED = {"system", "messages", "tools", "tool_choice", *RENAMED}
MODES = {"auto": "auto", "any": "required", "none": "none"}
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "refusal": "content_filter",
}
THINKING = ("thinking", "redacted_thinking")
RESULTS = ("tool_result", "web_search_tool_result", "web_fetch_tool_result", "code_execution_tool_result", "mcp_tool_result")
CACHED = ("cache_read_input_tokens", "cache_creation_input_tokens")


def chat_request(body: Json) -> Json:
    """The chat-completions body that asks what this Messages body asks."""
    made = {key: value for key, value in body.items() if key not in CONVERTED}
    system = _content(body["system"]) if body.get("system") else None
    messages = body.get("messages") if isinstance(body.get("messages"), list) else []
    made["messages"] = [{"role": "system", "content": system}] if system else []
    made["messages"] += [turn for message in messages for turn in _turns(message)]
    if isinstance(body.get("tools"), list):
        made["tools"] = [_tool(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        made |= _tool_choice(body["tool_choice"])
    output = body.get("output_config")
    form = output.get("format") if isinstance(output, dict) else None
    if isinstance(form, dict) and "schema" in form:
        made["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": form["schema"]}}
    return made | {new: body[old] for old, new in RENAMED.items() if old in body}


def chat_response(message: Json) -> Json:
    """The chat completion that says what this Message says. `usage.prompt_tokens` counts cached input tokens too, as OpenAI's does."""
    known = ("type", "role", "content", "stop_reason", "usage")
    reason = message.get("stop_reason")
    turn = _assistant(_blocks(message.get("content")))
    finish = FINISH.get(reason, reason) if isinstance(reason, str) else None
    made = {key: value for key, value in message.items() if key not in known} | {"object": "chat.completion"}
    made["choices"] = [{"index": 0, "finish_reason": finish, "message": turn}]
    if isinstance(message.get("usage"), dict):
        made["usage"] = _usage(message["usage"])
    return made


def _blocks(content: object) -> list[Json]:
    """Content as a list of blocks; a string is one block of text, anything else none."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [{"type": "text", "text": block} if isinstance(block, str) else block for block in content if isinstance(block, str | dict)]
    return []


def _turns(message: object) -> Iterator[Json]:
    """The chat messages of one Anthropic message: a tool result is a message of its own, in front of what the user adds."""
    if not isinstance(message, dict):
        return
    blocks, extra = _blocks(message.get("content")), {k: v for k, v in message.items() if k not in ("role", "content")}
    if message.get("role") == "assistant":
        yield extra | _assistant(blocks)
        return
    results = [block for block in blocks if block.get("type") in RESULTS]
    for block in results:
        known = ("type", "tool_use_id", "content", "cache_control")
        more = {key: value for key, value in block.items() if key not in known}
        yield {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": _content(block.get("content"))} | more
    others = [block for block in blocks if block.get("type") not in RESULTS]
    if others or not results:
        yield extra | {"role": message.get("role", "user"), "content": _content(others)}


def _assistant(blocks: list[Json]) -> Json:
    """One assistant message: its texts joined, its tool uses as tool calls; blocks of other kinds under `blocks`."""
    kinds = [block.get("type") for block in blocks]
    texts = [block["text"] for block in blocks if block.get("type") == "text" and isinstance(block.get("text"), str)]
    calls = [tool_call(block.get("id"), block.get("name"), block.get("input")) for block in blocks if block.get("type") == "tool_use"]
    made = {"role": "assistant", "content": "".join(texts) if texts else None}
    if calls:
        made["tool_calls"] = calls
    if any(kind in THINKING for kind in kinds):
        made["thinking"] = [block for block in blocks if block.get("type") in THINKING]
    if rest := [block for block, kind in zip(blocks, kinds, strict=True) if kind not in ("text", "tool_use", *THINKING)]:
        made["blocks"] = rest
    return made


def _content(content: object) -> str | list[Json]:
    """Content of a user, system or tool message: a string where it is one text, else OpenAI's parts."""
    parts = [_part(block) for block in _blocks(content)]
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and parts[0].get("type") == "text" and isinstance(parts[0].get("text"), str) else parts


def _part(block: Json) -> Json:
    source = block.get("source")
    if block.get("type") == "image" and isinstance(source, dict):
        if source.get("type") == "base64":
            return {"type": "image_url", "image_url": {"url": f"data:{source.get('media_type')};base64,{source.get('data')}"}}
        if source.get("type") == "url":
            return {"type": "image_url", "image_url": {"url": source.get("url")}}
    # where a prompt is cached says nothing about what it asks
    return {key: value for key, value in block.items() if key != "cache_control"}


def _tool(tool: object) -> object:
    """A function tool; tools that run at Anthropic (they have no schema) stay as they are."""
    if not isinstance(tool, dict) or "input_schema" not in tool:
        return tool
    known = ("name", "description", "input_schema", "cache_control", "type")
    function = {key: tool[key] for key in ("name", "description") if key in tool} | {"parameters": tool["input_schema"]}
    return {"type": "function", "function": function | {key: value for key, value in tool.items() if key not in known}}


def _tool_choice(choice: object) -> Json:
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        return {"tool_choice": choice}
    named = {"type": "function", "function": {"name": choice.get("name")}}
    made = {"tool_choice": named if choice["type"] == "tool" else MODES.get(choice["type"], choice)}
    return made | ({"parallel_tool_calls": not choice["disable_parallel_tool_use"]} if "disable_parallel_tool_use" in choice else {})


def _usage(usage: Json) -> Json:
    made = {key: value for key, value in usage.items() if key not in ("input_tokens", "output_tokens")}
    read, written = (_count(usage.get(key)) for key in CACHED)
    prompt, completion = _count(usage.get("input_tokens")) + read + written, _count(usage.get("output_tokens"))
    made |= {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return made | ({"prompt_tokens_details": {"cached_tokens": read}} if "cache_read_input_tokens" in usage else {})


def _count(tokens: object) -> int:
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else 0
