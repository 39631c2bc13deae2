"""The static part of a task's calls, mined from training calls, and what remains of a call once it is taken away."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress

from slm_pipeline.answers import functions_of
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.parts import parts_of
from slm_pipeline.s3_cluster.structure import conversation, is_multi_turn, merged, structure_of, system_of, text_of

INSTRUCTION = (
    'Answer with one JSON object {"name": <function>, "arguments": {...}} that calls one of these functions, or with text if none fits:'
)


class TemplateChanged(ValueError):
    """The static part of a call is not, byte for byte, one that the task was learned from."""


def mine(openings: Sequence[str]) -> tuple[str, str]:
    """The longest head and tail, cut at whitespace, that all opening messages share; they never overlap."""
    head = _common_head(openings)
    tail = _common_head([text[len(head) :][::-1] for text in openings])[::-1]
    return head, tail


def opening(request: Json, system: str | None) -> str:
    """The first message after the static system prompt `system`: what a template is mined from."""
    messages = request["messages"]
    first = next((i for i, message in enumerate(messages) if message.get("role") == "assistant"), len(messages))
    turns = conversation({**request, "messages": messages[:first]}, system is None) or conversation(request, system is None)
    return turns[0]["content"] if turns else ""


def wording(request: Json, system: str | None) -> str:
    """The text in which templates are looked for: the opening, in a longer conversation with its last message, in which an agent may
    ask for something else. Of an agent with tools the system prompt, if that varies."""
    if system is None and request.get("tools") and (varying_system := system_of(request)) is not None:
        return varying_system
    last = request["messages"][-1:]
    later = is_multi_turn(request) and last[0].get("role") == "user"
    return "\n".join([opening(request, system), *(text_of(message) for message in last if later)])


def varying(messages: list[Json], task: Json) -> list[Json]:
    """`messages` without the task's head and tail of the first one; raises TemplateChanged if they are not there."""
    head, tail = task["text_prefix"], task["text_suffix"]
    if not head and not tail:
        return messages
    text = messages[0]["content"] if messages else ""
    if len(text) < len(head) + len(tail) or not text.startswith(head) or not text.endswith(tail):
        raise TemplateChanged(task["key"])
    return [messages[0] | {"content": text[len(head) : len(text) - len(tail)]}, *messages[1:]]


def factor(request: Json, task: Json) -> list[Json]:
    """The messages that the SLM is asked with: the task line, then only what varies. The same in training and at run time.

    Raises TemplateChanged if system prompt, tools, response format or the template's head and tail differ by one byte.
    """
    for part in parts_of(task):
        with_system = part["system"] is not None
        if structure_of(request, with_system).exact in part["variants"]:
            with suppress(TemplateChanged):
                messages = varying(conversation(request, with_system=not with_system), part)
                return [{"role": "system", "content": task_line(task)}, *messages]
    raise TemplateChanged(task["key"])


def task_line(task: Json) -> str:
    """The one line by which an SLM that serves several tasks knows which it is asked for; a renamed task keeps its line."""
    if task["tools"]:
        return "Tools: " + ", ".join(function["name"] for function in functions_of(task["tools"]))
    return f"Task: {task['slug'].replace('-', ' ')}"


def full_messages(request: Json) -> list[Json]:
    """The messages that an untuned base sees: nothing taken away, tools as JSON in the system message, the same simple roles."""
    parts = [system_of(request) or ""]
    if tools := request.get("tools"):
        described = (json.dumps(function, ensure_ascii=False, separators=(",", ":")) for function in functions_of(tools))
        parts.append(INSTRUCTION + "\n" + "\n".join(described))
    elif request.get("response_format"):
        parts.append("Answer in this format: " + json.dumps(request["response_format"], ensure_ascii=False))
    system = "\n\n".join(part for part in parts if part)
    return merged(([{"role": "system", "content": system}] if system else []) + conversation(request))


def _common_head(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)  # what the two extremes share, all texts between them share
    common = next((first[:i] for i, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), first)
    torn = any(len(text) > len(common) and not text[len(common)].isspace() for text in texts)
    return re.sub(r"\S+\Z", "", common) if torn else common
