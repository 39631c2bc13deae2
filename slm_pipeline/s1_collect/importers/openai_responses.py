"""OpenAI's Responses API in the words of chat completions.

Total: whatever stands in a body, nothing raises; keys that chat completions do not know stay as they are, beside those they
know. Reasoning is no part of an answer: its items stay under the key `reasoning` of the message they belong to. Of a
conversation that OpenAI keeps (`previous_response_id`, `conversation`) a body holds only what is new.
"""

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import tool_call

RENAMED = {"max_output_tokens": "max_completion_tokens", "previous_response_id": "previous_response_id"}
CONVERTED = {"input", "instructions", "tools", "tool_choice", "text", *RENAMED}
TEXTS = ("input_text", "output_text", "text")
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
OUTPUTS = ("function_call_output", "custom_tool_call_output")
ANSWERED = ("object", "created_at", "output", "output_text", "status", "usage", "incomplete_details")
ECHOED = ("input", "instructions", "tools", "tool_choice", "text")  # a response repeats these from its request
FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}


def chat_request(body: Json) -> Json:
    """The chat-completions body that asks what this Responses body asks."""
    made = {key: value for key, value in body.items() if key not in CONVERTED}
    instructions, asked = body.get("instructions"), body.get("input")
    made["messages"] = [{"role": "system", "content": instructions}] if isinstance(instructions, str) and instructions else []
    # the instructions that a stored response repeats may be items
    made["messages"] += _messages(instructions) if isinstance(instructions, list) else []
    made["messages"] += [{"role": "user", "content": asked}] if isinstance(asked, str) else _messages(asked)
    if isinstance(body.get("tools"), list):
        made["tools"] = [_tool(tool) for tool in body["tools"]]
    if "tool_choice" in body:
        made["tool_choice"] = _tool_choice(body["tool_choice"])
    made |= _text(body.get("text"))
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and "effort" in reasoning:
        made["reasoning_effort"] = reasoning["effort"]
    return made | {new: body[old] for old, new in RENAMED.items() if body.get(old) is not None}


def chat_response(response: Json) -> Json:
    """The chat completion that says what this Response says."""
    made = {key: value for key, value in response.items() if key not in (*ANSWERED, *ECHOED)} | {"object": "chat.completion"}
    if "created_at" in response:
        made["created"] = response["created_at"]
    message = {"role": "assistant", "content": None}
    for turn in _messages(response.get("output")):
        message = _joined(message, turn) | {"role": "assistant"}  # texts between tool calls are of the same answer
    if message["content"] is None and isinstance(response.get("output_text"), str):
        message["content"] = response["output_text"]
    details = response.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    finish = FINISH.get(reason, "length") if isinstance(reason, str) else "tool_calls" if message.get("tool_calls") else "stop"
    made["choices"] = [{"index": 0, "finish_reason": finish, "message": message}]
    if isinstance(response.get("usage"), dict):
        made["usage"] = _usage(response["usage"])
    return made


def _messages(items: object) -> list[Json]:
    """Chat messages of input or output items; what one answer consists of becomes one assistant message."""
    made: list[Json] = []
    for item in items if isinstance(items, list) else ():
        if not isinstance(item, dict):
            continue
        turn = _message(item)
        if made and turn["role"] == "assistant" == made[-1]["role"]:
            made[-1] = _joined(made[-1], turn)
        else:
            made.append(turn)
    return made


def _message(item: Json) -> Json:
    kind = item.get("type", "message")
    if kind in OUTPUTS:
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": _content(item.get("output"))}
    if isinstance(kind, str) and kind in CALLS:
        call = tool_call(item.get("call_id") or item.get("id"), item.get("name"), item.get(CALLS[kind]))
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if kind == "reasoning":
        return {"role": "assistant", "content": None, "reasoning": [item]}
    if kind != "message":
        return {"role": "assistant", "content": None, "items": [item]}  # what ran at OpenAI: searches, code, images
    if item.get("role") != "assistant":
        return {"role": item.get("role", "user"), "content": _content(item.get("content"))}
    content = item.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    said = [part["text"] for part in parts if part.get("type") in TEXTS and isinstance(part.get("text"), str)]
    refused = [part["refusal"] for part in parts if isinstance(part.get("refusal"), str)]
    made = {"role": "assistant", "content": content if isinstance(content, str) else "".join(said) if said else None}
    return made | ({"refusal": "".join(refused)} if refused else {})


def _joined(first: Json, second: Json) -> Json:
    """Two assistant messages as one."""
    texts = [text for text in (first.get("content"), second.get("content")) if isinstance(text, str)]
    made = first | second | {"content": "\n".join(texts) if texts else None}
    for key in ("tool_calls", "reasoning", "items"):
        if key in first and key in second:
            made[key] = [*first[key], *second[key]]
    return made


def _content(content: object) -> str | list[Json]:
    """Content of a user, system or tool message: a string where it is one text, else chat completions' parts."""
    if isinstance(content, str):
        return content
    parts = [_part(part) for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    if not parts:
        return ""
    return parts[0]["text"] if len(parts) == 1 and isinstance(parts[0].get("text"), str) else parts


def _part(part: Json) -> Json:
    if part.get("type") in TEXTS:
        return {"type": "text", "text": part.get("text")}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")} | ({"detail": part["detail"]} if "detail" in part else {})}
    return part


def _tool(tool: object) -> object:
    """A function tool; tools that run at OpenAI stay as they are."""
    if not isinstance(tool, dict) or tool.get("type") != "function" or "function" in tool:
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def _tool_choice(choice: object) -> object:
    if isinstance(choice, dict) and choice.get("type") == "function" and "function" not in choice:
        return {"type": "function", "function": {"name": choice.get("name")}}
    return choice


def _text(text: object) -> Json:
    if not isinstance(text, dict):
        return {}
    made = {"verbosity": text["verbosity"]} if "verbosity" in text else {}
    form = text.get("format")
    if not isinstance(form, dict) or form.get("type") == "text":
        return made
    if form.get("type") == "json_schema":
        form = {"type": "json_schema", "json_schema": {key: value for key, value in form.items() if key != "type"}}
    return made | {"response_format": form}


def _usage(usage: Json) -> Json:
    renamed = {"input_tokens": "prompt_tokens", "output_tokens": "completion_tokens"}
    renamed |= {f"{old}_details": f"{new}_details" for old, new in renamed.items()}
    return {renamed.get(key, key): value for key, value in usage.items()}
