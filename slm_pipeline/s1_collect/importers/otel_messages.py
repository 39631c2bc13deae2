"""Messages as OpenTelemetry's GenAI conventions write them: of parts, nearly OpenAI's, or flattened into attributes."""

from collections.abc import Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import json_text, parsed, pick, rows, tool_call

ROLES = {"model": "assistant", "ai": "assistant", "human": "user"}
DEPTH = 12  # dots in a name that are read as nesting


def flattened(attributes: Json, prefix: str) -> list[Json]:
    """The objects under `<prefix>.0.`, `<prefix>.1.`, ...: names with dots become nested objects."""
    made: Json = {}
    for name, value in attributes.items():
        if name.startswith(f"{prefix}."):
            *path, last = name[len(prefix) + 1 :].split(".", DEPTH)
            node = made
            for step in path:
                if not isinstance(node.get(step), dict):
                    node[step] = {}
                node = node[step]
            if not isinstance(node.get(last), dict):
                node[last] = value
    return listed(made)


def listed(node: object) -> list[Json]:
    """The objects under the keys "0", "1", ... of one."""
    keys = sorted((key for key in node if key.isdecimal()), key=lambda key: (len(key), key)) if isinstance(node, dict) else []
    return [node[key] for key in keys if isinstance(node[key], dict)]


def turns_of(message: Json) -> Iterator[Json]:
    """The chat messages of one message of parts; what a tool gave back is a message of its own."""
    if not isinstance(message.get("parts"), list):
        yield plain(message)
        return
    parts = rows(message["parts"])
    for part in parts:
        if part.get("type") == "tool_call_response":
            yield {"role": "tool", "tool_call_id": part.get("id"), "content": json_text(pick(part, "response", "result", "content") or "")}
    rest = [part for part in parts if part.get("type") != "tool_call_response"]
    if not rest and parts:
        return
    role = message.get("role")
    made: Json = {"role": ROLES.get(role, role) if isinstance(role, str) else "user"}
    made |= {key: message[key] for key in ("name", "finish_reason") if message.get(key)}
    texts = [str(part.get("content") or "") for part in rest if part.get("type") == "text"]
    others = [part for part in rest if part.get("type") not in ("text", "tool_call", "reasoning")]
    made["content"] = "".join(texts) if texts else None
    if others:
        made["content"] = [{"type": "text", "text": said} for said in texts] + [_part(part) for part in others]
    if calls := [tool_call(part.get("id"), part.get("name"), part.get("arguments")) for part in rest if part.get("type") == "tool_call"]:
        made["tool_calls"] = calls
    if reasoning := [part for part in rest if part.get("type") == "reasoning"]:
        made["reasoning"] = reasoning
    yield made


def _part(part: Json) -> Json:
    if part.get("modality") == "image" and part.get("type") == "uri":
        return {"type": "image_url", "image_url": {"url": part.get("uri")}}
    if part.get("modality") == "image" and part.get("type") == "blob":
        return {"type": "image_url", "image_url": {"url": f"data:{part.get('mime_type')};base64,{part.get('content')}"}}
    return part


def plain(message: Json) -> Json:
    """A message that is nearly OpenAI's: its content may be JSON text of parts, its tool calls flattened or JSON text."""
    role, content = message.get("role"), message.get("content")
    inside = parsed(content)
    if isinstance(inside, list) and inside and all(isinstance(part, dict) and "type" in part for part in inside):
        only = inside[0].get("text") if len(inside) == 1 else None
        content = only if isinstance(only, str) else inside
    elif content is not None and not isinstance(content, str | list):
        content = json_text(content)
    made = {"role": ROLES.get(role, role) if isinstance(role, str) else "user", "content": content}
    calls = parsed(message.get("tool_calls"))
    calls = listed(calls) if isinstance(calls, dict) else rows(calls)
    if calls:
        made["tool_calls"] = [_call(call) for call in calls]
    made |= {key: message[key] for key in ("name", "tool_call_id", "finish_reason") if message.get(key)}
    if made["role"] == "tool" and message.get("id"):
        made["tool_call_id"] = message["id"]
    return made


def _call(call: Json) -> Json:
    function = call["function"] if isinstance(call.get("function"), dict) else call
    return tool_call(call.get("id"), function.get("name"), function.get("arguments"))
