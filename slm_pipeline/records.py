"""The contracts between stages: a call, its answer, an example.

`AgentCall` is a superset of the NVIDIA Data Flywheel log form `{timestamp, workload_id, client_id, request, response}`.
"""

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]
Split = Literal["train", "validation", "calibration", "test"]


class Attempt(BaseModel):
    """One try of one model at a call."""

    model_config = ConfigDict(extra="allow")

    model: str
    role: str = Field("slm", description="teacher: the LLM that is to be replaced")
    response: Json | None = None
    verdict: Literal["accepted", "rejected", "error"]
    reason: str = ""
    tokens: int | None = None
    latency_ms: float | None = None


CHECKED = "checker"
"""Why an SLM's answer is served, or is not: a checker that knows what is right has passed it, or has not."""
UNLIKELY = "unlikely"
"""Why the LLM answers where the router expects no good answer of an SLM."""


class Route(BaseModel):
    """Who answered a call, and every attempt at it."""

    model_config = ConfigDict(extra="allow")

    served_by: Literal["slm", "llm"]
    group: str | None = None
    release: str | None = None
    p_ok: float | None = None
    reason: str = ""
    attempts: list[Attempt] = Field(default_factory=list)
    sampled: bool = Field(False, description="drawn uniformly: the LLM answered, whoever served")


class AgentCall(BaseModel):
    """One request of an agent to a model and its response. Unknown keys survive a round trip."""

    model_config = ConfigDict(extra="allow")

    id: str = Field(min_length=1)
    timestamp: float = Field(ge=0, description="unix seconds, UTC", allow_inf_nan=False)
    agent: str = Field(min_length=1)
    session_id: str = Field(min_length=1)
    client_id: str = Field(min_length=1)
    request: Json
    response: Json
    latency_ms: float | None = None
    cost: float | None = None
    outcome: Json | None = None
    route: Route | None = None
    api: str = Field("chat", description="the API that was called; request and response are in chat form whichever it was")

    def to_json(self) -> str:
        """One line of canonical JSONL; keys that were absent stay absent."""
        return self.model_dump_json(exclude_unset=True)

    @property
    def failed(self) -> bool:
        """Whether the call got no answer: its response is the error."""
        return "error" in self.response and not self.response.get("choices")

    @property
    def served_by_slm(self) -> bool:
        return self.route is not None and self.route.served_by == "slm"

    @property
    def chosen(self) -> bool:
        """Whether router or verifier decided by what it says who answers it. Such calls are easier or harder than all are, so none of them
        judges anything unless it was drawn uniformly."""
        if self.route is None or self.route.sampled:
            return False
        return self.served_by_slm or self.route.reason == UNLIKELY or any(attempt.role == "slm" for attempt in self.failed_attempts)

    @property
    def failed_attempts(self) -> list[Attempt]:
        """The tries of an SLM that were not used; a call that has any is a failure."""
        tries = [] if self.route is None or self.served_by_slm else self.route.attempts
        return [attempt for attempt in tries if attempt.role != "teacher" and attempt.verdict != "accepted"]


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: Json


@dataclass(frozen=True)
class Answer:
    """What a model said, free of the envelope: tool calls, or text. A preamble beside tool calls is dropped."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()

    @property
    def form(self) -> Literal["tool_call", "text"]:
        return "tool_call" if self.tool_calls else "text"


def text_of(message: Json) -> str:
    """The text of a message; text parts of multimodal content are joined by a newline."""
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def answer_of(message: Json) -> Answer | None:
    """The answer in an OpenAI chat message; None if it has neither text nor well-formed tool calls."""
    calls = []
    listed = message.get("tool_calls") or ()
    if not isinstance(listed, list | tuple):
        return None
    for call in listed:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        arguments = function.get("arguments") or "{}"
        try:
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        except (ValueError, RecursionError):
            return None
        if not isinstance(arguments, dict):
            return None
        calls.append(ToolCall(function["name"], arguments))
    if calls:
        return Answer(tool_calls=tuple(calls))
    content = message.get("content")
    return Answer(text=content) if isinstance(content, str) and content.strip() else None


def response_answer(response: Json) -> Answer | None:
    """The answer in an OpenAI chat-completions object: that of its first choice."""
    choices = response.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    return answer_of(message) if isinstance(message, dict) else None


def response_of(answer: Answer, model: str) -> Json:
    """The OpenAI chat-completions object that says `answer`; the inverse of `response_answer`."""
    message: Json = {"role": "assistant", "content": answer.text or None}
    if answer.tool_calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": c.name, "arguments": json.dumps(c.arguments, ensure_ascii=False)}}
            for i, c in enumerate(answer.tool_calls)
        ]
    finish = "tool_calls" if answer.tool_calls else "stop"
    return {"model": model, "choices": [{"index": 0, "finish_reason": finish, "message": message}]}


@dataclass(frozen=True)
class Target:
    """What an SLM shall learn to answer, and who said so."""

    answer: Answer
    source: Literal["correction", "gold", "teacher"]


def target_of(call: AgentCall) -> Target | None:
    """The training target of a call: a correction, a gold answer, or the teacher's answer; never what an SLM served.

    For an SLM-served call the teacher's answer is that of an accepted LLM attempt (audit, shadow), if there is one:
    an attempt whose `role` is "teacher".
    """
    outcome = call.outcome or {}
    for source in ("correction", "gold"):
        if isinstance(outcome.get(source), dict) and (answer := answer_of(outcome[source])):
            return Target(answer, source)
    answer = teacher_answer(call)
    return Target(answer, "teacher") if answer else None


def teacher_answer(call: AgentCall) -> Answer | None:
    """What the LLM said: to the client, or beside what an SLM served."""
    if not call.served_by_slm:
        return response_answer(call.response)
    said = (attempt.response for attempt in call.route.attempts if attempt.role == "teacher" and attempt.response)
    return next((answer for response in said if (answer := response_answer(response))), None)
