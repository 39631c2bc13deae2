"""OpenTelemetry's GenAI conventions, old and new: what a span's attributes and events say of a call.

Newest first: messages as JSON attributes (also on an event), one event per message, OpenLLMetry's flattened attributes, and prompt
and completion as one attribute or event each.
"""

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import parsed, pick, rows, table, text, usage_of
from slm_pipeline.s1_collect.importers.otel_messages import flattened, plain, turns_of
from slm_pipeline.s1_collect.importers.span import Span

CHAT = ("chat", "text_completion", "completion", "generate_content")
CONTENT = ("gen_ai.input.messages", "gen_ai.prompt", "gen_ai.content.prompt", "gen_ai.user.message")  # that there was a prompt
DETAILS = "gen_ai.client.inference.operation.details"
PARAMETERS = {
    "gen_ai.request.model": "model",
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.choice.count": "n",
}
FINISH = {"tool_call": "tool_calls", "tool_use": "tool_calls", "end_turn": "stop", "max_tokens": "length"}


def is_call(span: Span) -> bool:
    kind = text(span.attributes.get("gen_ai.operation.name"), span.attributes.get("llm.request.type"))
    if kind:
        return kind.lower() in CHAT
    return any(name.startswith(CONTENT) for name in (*span.attributes, *(name for name, _ in span.events)))


def call_of(span: Span) -> tuple[Json, Json, float | None]:
    """Request, response and cost of a call; without messages or choices where none were captured."""
    here = dict(span.attributes)
    for name, attributes in span.events:
        here |= attributes if name == DETAILS else {}
    request = {new: here[old] for old, new in PARAMETERS.items() if here.get(old) is not None}
    if here.get("gen_ai.output.type") == "json":
        request["response_format"] = {"type": "json_object"}
    request["messages"] = _system(here) + (_asked(here) or _asked_in_events(span) or _flat_or_whole(here, span, "prompt"))
    if tools := _tools(here):
        request["tools"] = tools
    said = _said(here) or _said_in_events(span) or _flat_or_whole(here, span, "completion")
    reasons = here.get("gen_ai.response.finish_reasons")
    reasons = reasons if isinstance(reasons, list) else [reasons]
    response: Json = {"object": "chat.completion"}
    response |= {key: here[f"gen_ai.response.{key}"] for key in ("id", "model") if here.get(f"gen_ai.response.{key}") is not None}
    response["choices"] = [_choice(i, message, reasons[i] if i < len(reasons) else None) for i, message in enumerate(said)]
    cached = pick(here, "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens")
    usage = usage_of(
        pick(here, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens"),
        pick(here, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens"),
        pick(here, "gen_ai.usage.total_tokens", "llm.usage.total_tokens"),
        cache_read_input_tokens=cached,
    )
    return request, response | ({"usage": usage} if usage else {}), None


def _system(here: Json) -> list[Json]:
    parts = parsed(here.get("gen_ai.system_instructions"))
    content = "\n".join(filter(None, (text(part.get("content")) for part in rows(parts)))) if isinstance(parts, list) else text(parts)
    return [{"role": "system", "content": content}] if content else []


def _asked(here: Json) -> list[Json]:
    return [turn for message in rows(here.get("gen_ai.input.messages")) for turn in turns_of(message)]


def _said(here: Json) -> list[Json]:
    return [turn for message in rows(here.get("gen_ai.output.messages")) for turn in turns_of({"role": "assistant"} | message)]


def _asked_in_events(span: Span) -> list[Json]:
    made = []
    for name, attributes in span.events:
        _, _, role = name.removesuffix(".message").rpartition(".")
        if name == f"gen_ai.{role}.message":
            made.append(plain({"role": role} | attributes | table(attributes.get("gen_ai.event.content"))))
    return made


def _said_in_events(span: Span) -> list[Json]:
    made = []
    for name, attributes in span.events:
        if name == "gen_ai.choice":
            body = attributes | table(attributes.get("gen_ai.event.content"))
            message = table(body.get("message")) or {
                "content": body.get("message") or body.get("content"),
                "tool_calls": body.get("tool_calls"),
            }
            made.append(plain({"role": "assistant", "finish_reason": body.get("finish_reason")} | message))
    return [message for message in made if message["content"] or message.get("tool_calls")]


def _flat_or_whole(here: Json, span: Span, side: str) -> list[Json]:
    """`side` is "prompt" or "completion"."""
    role = "user" if side == "prompt" else "assistant"
    if made := [plain({"role": role} | message) for message in flattened(here, f"gen_ai.{side}")]:
        return [message for message in made if side == "prompt" or message["content"] or message.get("tool_calls")]
    told = [attributes.get(f"gen_ai.{side}") for name, attributes in span.events if name == f"gen_ai.content.{side}"]
    for whole in (*told, here.get(f"gen_ai.{side}"), here.get(f"gen_ai.content.{side}")):
        if isinstance(parsed(whole), list):
            return [plain({"role": role} | message) for message in rows(whole)]
        if text(whole):
            return [{"role": role, "content": text(whole)}]
    return []


def _tools(here: Json) -> list[Json]:
    defined = rows(here.get("gen_ai.tool.definitions")) or flattened(here, "llm.request.functions")
    made = []
    for tool in defined:
        function = {key: value for key, value in tool.items() if key != "type"}
        if isinstance(function.get("parameters"), str):
            function["parameters"] = table(function["parameters"])
        made.append(tool if "function" in tool else {"type": "function", "function": function})
    return made


def _choice(index: int, message: Json, reason: object) -> Json:
    reason = message.get("finish_reason") or reason or ("tool_calls" if message.get("tool_calls") else "stop")
    message = {key: value for key, value in message.items() if key != "finish_reason"}
    return {"index": index, "finish_reason": FINISH.get(reason, reason) if isinstance(reason, str) else "stop", "message": message}
