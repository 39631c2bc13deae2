"""OpenInference's conventions (Arize Phoenix): what the attributes of a span of kind LLM say of a call."""

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import number, parsed, pick, rows, table, text, tool_call, usage_of
from slm_pipeline.s1_collect.importers.otel_genai import FINISH
from slm_pipeline.s1_collect.importers.otel_messages import flattened, listed
from slm_pipeline.s1_collect.importers.span import Span

# what a request says elsewhere already
TOLD = ("messages", "input", "tools", "system")


def is_call(span: Span) -> bool:
    return str(span.attributes.get("openinference.span.kind")).upper() == "LLM"


def call_of(span: Span) -> tuple[Json, Json, float | None]:
    """Request, response and cost of a call; without messages or choices where none were captured."""
    here = span.attributes
    parameters = table(here.get("llm.invocation_parameters"))
    request = {key: value for key, value in parameters.items() if key not in TOLD and value is not None}
    if model := text(parameters.get("model"), here.get("llm.model_name")):
        request["model"] = model
    request["messages"] = _messages(here, "llm.input_messages") or _prompts(here)
    tools = [_tool(table(item)) for node in flattened(here, "llm.tools") if (item := pick(node.get("tool"), "json_schema"))]
    if tools := tools or rows(parameters.get("tools")):
        request["tools"] = [_tool(tool) for tool in tools]
    response: Json = {"object": "chat.completion"}
    raw = table(here.get("output.value"))
    response |= {key: raw[key] for key in ("id", "created") if isinstance(raw.get(key), str | int)}
    if name := text(here.get("llm.model_name")):
        response["model"] = name
    said = _messages(here, "llm.output_messages")
    response["choices"] = [_choice(i, message, raw) for i, message in enumerate(said) if len(message) > 2 or message["content"]]
    counted = [here.get(f"llm.token_count.{side}") for side in ("prompt", "completion", "total")]
    usage = usage_of(*counted, cache_read_input_tokens=here.get("llm.token_count.prompt_details.cache_read"))
    return request, response | ({"usage": usage} if usage else {}), number(here.get("llm.cost.total"))


def _messages(here: Json, prefix: str) -> list[Json]:
    made = []
    for node in flattened(here, prefix):
        message = node["message"] if isinstance(node.get("message"), dict) else {}
        content = message.get("content")
        if parts := [_part(part) for part in listed(message.get("contents"))]:
            only = parts[0].get("text") if len(parts) == 1 else None
            content = only if isinstance(only, str) else parts
        content = content if isinstance(content, list) else text(content)
        turn = {"role": message["role"] if isinstance(message.get("role"), str) else "user", "content": content}
        if calls := [_call(node) for node in listed(message.get("tool_calls"))]:
            turn["tool_calls"] = calls
        if (function := message.get("function_call_name")) and "tool_calls" not in turn:
            turn["tool_calls"] = [tool_call(None, function, message.get("function_call_arguments_json"))]
        made.append(turn | {key: message[key] for key in ("tool_call_id", "name") if isinstance(message.get(key), str)})
    return made


def _prompts(here: Json) -> list[Json]:
    """The prompts of a text completion; else the input as a whole, where it is plain text."""
    told = [text(pick(node.get("prompt"), "text")) for node in flattened(here, "llm.prompts")]
    whole = here.get("input.value")
    told = [prompt for prompt in told if prompt] or ([whole] if isinstance(parsed(whole), str) and whole else [])
    return [{"role": "user", "content": prompt} for prompt in told]


def _part(node: Json) -> Json:
    part = node["message_content"] if isinstance(node.get("message_content"), dict) else {}
    image = part.get("image")
    image = image.get("image") if isinstance(image, dict) else None
    if part.get("type") == "image" and isinstance(image, dict):
        return {"type": "image_url", "image_url": {"url": image.get("url")}}
    return part


def _call(node: Json) -> Json:
    call = node["tool_call"] if isinstance(node.get("tool_call"), dict) else {}
    function = call["function"] if isinstance(call.get("function"), dict) else {}
    return tool_call(call.get("id"), function.get("name"), function.get("arguments"))


def _tool(tool: Json) -> Json:
    """A function tool, whichever API the schema was written for."""
    if "function" in tool or not tool:
        return tool
    parameters = pick(tool, "parameters", "input_schema")
    function = {key: value for key, value in tool.items() if key not in ("type", "parameters", "input_schema")}
    return {"type": "function", "function": function | ({"parameters": parameters} if parameters is not None else {})}


def _choice(index: int, message: Json, raw: Json) -> Json:
    """Why the answer ended stands in the raw response alone."""
    choices = rows(raw.get("choices"))
    reason = (choices[index].get("finish_reason") if index < len(choices) else None) or raw.get("stop_reason")
    if not isinstance(reason, str):
        reason = "tool_calls" if message.get("tool_calls") else "stop"
    return {"index": index, "finish_reason": FINISH.get(reason, reason), "message": message | {"role": "assistant"}}
