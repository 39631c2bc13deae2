"""The APIs that the gateway speaks: for each its path, its form of errors and streams, and how a call of it is logged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from slm_pipeline.gateway import sse
from slm_pipeline.gateway.assembly import ChatStream, MessageStream, ResponseStream
from slm_pipeline.gateway.errors import anthropic_error, openai_error
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import anthropic, openai_responses

DONE = b"[DONE]"


@dataclass(frozen=True)
class Api:
    """`request` and `response` turn bodies into OpenAI's chat form, which the log is kept in."""

    name: str
    path: str
    speaks: Literal["openai", "anthropic"]
    request: Callable[[Json], Json]
    response: Callable[[Json], Json]
    error: Callable[..., Json]
    stream: Callable[[], Any] | None
    last_event: Callable[[Json], bool]

    def error_event(self, status: int, message: str, code: str) -> bytes:
        """What a stream that broke off ends with."""
        error = self.error(status, message, code)
        if self.name == "chat":
            return sse.event_of(error)
        return sse.event_of(error if self.speaks == "anthropic" else {"type": "error", **error["error"]}, "error")


def _same(body: Json) -> Json:
    return body


def _without_vectors(response: Json) -> Json:
    """An embedding has no use in training, and is long."""
    data = response.get("data")
    return response | {"data": len(data)} if isinstance(data, list) else response


CHAT = Api("chat", "/chat/completions", "openai", _same, _same, openai_error, ChatStream, lambda event: False)
RESPONSES = Api(
    "responses",
    "/responses",
    "openai",
    openai_responses.chat_request,
    openai_responses.chat_response,
    openai_error,
    ResponseStream,
    lambda event: event.get("type") in ("response.completed", "response.incomplete"),
)
MESSAGES = Api(
    "messages",
    "/messages",
    "anthropic",
    anthropic.chat_request,
    anthropic.chat_response,
    anthropic_error,
    MessageStream,
    lambda event: event.get("type") == "message_stop",
)
EMBEDDINGS = Api("embeddings", "/embeddings", "openai", _same, _without_vectors, openai_error, None, lambda event: False)
APIS = (CHAT, RESPONSES, MESSAGES, EMBEDDINGS)
