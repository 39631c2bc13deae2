"""A request and its response in whichever of three APIs, as OpenAI chat completions: chat itself, Responses, Anthropic's Messages."""

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import anthropic, openai_responses
from slm_pipeline.s1_collect.importers.fields import json_text, parsed

BLOCKS = ("text", "tool_use", "thinking", "redacted_thinking")  # of an Anthropic answer
ANTHROPIC = ("tool_use", "tool_result", "thinking")  # what no OpenAI message holds
MESSAGE = {"role", "content", "tool_calls", "function_call", "refusal", "name", "annotations", "audio", "reasoning_content"}


def chat_call(request: object, response: object) -> tuple[Json, Json] | str:
    """The bodies of a chat completion, or why there is none.

    `request` is a body, its messages or its prompt; `response` is a body, the assistant's message or its text.
    """
    if request is None:
        return "the call has no request: nothing of what was asked is recorded"
    api, answer = _answer(response)
    if answer is None:
        return f"the call has no answer{_why(response)}"
    body = _request(request, api)
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return "the request has no messages"
    if not any(isinstance(message, dict) and isinstance(message.get("role"), str) for message in body["messages"]):
        return "the request's messages are in a form that is not known: each needs a role"
    return body, answer


def _request(request: object, api: str) -> Json:
    if isinstance(request, list):
        request = {"messages": request}
    elif not isinstance(request, dict):
        request = {"messages": [{"role": "user", "content": request if isinstance(request, str) else json_text(request)}]}
    if "messages" not in request and "input" in request:
        return openai_responses.chat_request(request)
    if api == "anthropic" or "system" in request or _has_anthropic_parts(request):
        return anthropic.chat_request(request)
    if "messages" not in request:
        prompt = request.get("prompt", request if request.get("role") else None)
        return request | {"messages": [prompt if isinstance(prompt, dict) else {"role": "user", "content": prompt}] if prompt else None}
    return request


def _has_anthropic_parts(request: Json) -> bool:
    tools, messages = request.get("tools"), request.get("messages")
    if any(isinstance(tool, dict) and "input_schema" in tool for tool in (tools if isinstance(tools, list) else ())):
        return True
    contents = [message.get("content") for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, dict)]
    return any(_is_anthropic(part) for part in parts)


def _is_anthropic(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ANTHROPIC


def _answer(response: object) -> tuple[str, Json | None]:
    """The API that the response is of, and the chat completion that it amounts to; None if it says nothing."""
    if isinstance(response, str):
        return ("chat", _completion({"role": "assistant", "content": response})) if response else ("chat", None)
    if isinstance(response, list):
        return _answer_of_list(response)
    if not isinstance(response, dict):
        return "chat", None
    if isinstance(response.get("choices"), list):
        return "chat", _checked(response)
    if response.get("object") == "response":
        empty = not response.get("output") and not response.get("output_text")
        return "responses", None if empty else openai_responses.chat_response(response)
    content = response.get("content")
    if isinstance(content, list) and (response.get("type") == "message" or any(_is_anthropic(part) for part in content)):
        return "anthropic", anthropic.chat_response(response)
    if "role" in response or response.get("tool_calls") or (response and response.keys() <= MESSAGE):
        said = any(response.get(key) for key in ("content", "tool_calls", "function_call", "refusal"))
        message = {"role": "assistant"} | {key: value for key, value in response.items() if value is not None}
        return "chat", _completion(message) if said else None
    if response.get("error") or not response:
        return "chat", None
    return "chat", _completion({"role": "assistant", "content": json_text(response)})  # an answer in JSON that was stored parsed


def _answer_of_list(items: list) -> tuple[str, Json | None]:
    objects = [item for item in items if isinstance(item, dict)]
    if objects and all(item.get("type") in BLOCKS for item in objects):
        return "anthropic", anthropic.chat_response({"content": objects})
    said = [item for item in objects if item.get("role") in ("assistant", "model", "ai")]
    if said and all("type" not in item for item in said):
        return _answer(said[-1])
    if any(item.get("type") in ("message", "function_call", "reasoning") for item in objects):
        return "responses", openai_responses.chat_response({"output": objects})
    return ("chat", _completion({"role": "assistant", "content": json_text(items)})) if items else ("chat", None)


def _completion(message: Json) -> Json:
    reason = message.pop("finish_reason", None) or ("tool_calls" if message.get("tool_calls") else "stop")
    return {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": reason, "message": message}]}


def _checked(response: Json) -> Json | None:
    """The completion if its first choice has a message; that of a text completion is made one."""
    choice = response["choices"][0] if response["choices"] else None
    if not isinstance(choice, dict):
        return None
    if isinstance(choice.get("text"), str) and "message" not in choice:
        rest = {key: value for key, value in choice.items() if key != "text"}
        return response | {"choices": [rest | {"message": {"role": "assistant", "content": choice["text"]}}, *response["choices"][1:]]}
    return response if isinstance(choice.get("message"), dict) else None


def _why(response: object) -> str:
    error = parsed(response.get("error")) if isinstance(response, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f": {message}" if isinstance(message, str) and message else ""
