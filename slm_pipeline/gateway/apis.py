"""The APIs that the gateway speaks: for each its path, its form of errors and streams, and how a call of it is logged."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from slm_pipeline.gateway import saying, sse
from slm_pipeline.gateway.assembly import ChatStream, MessageStream, ResponseStream
from slm_pipeline.gateway.errors import anthropic_error, openai_error
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import anthropic, openai_responses

DONE = b"[DONE]"


@dataclass(frozen=True)
class Api:
    """`request` and `response` turn bodies into OpenAI's chat form, which the log is kept in. `says` and `events` put an SLM's answer into
    the API's own form, whole and as a stream's events; None where no SLM answers."""

    name: str
    path: str
    speaks: Literal["openai", "anthropic"]
    request: Callable[[Json], Json]
    response: Callable[[Json], Json]
    error: Callable[..., Json]
    stream: Callable[[], Any] | None
    last_event: Callable[[Json], bool]
    says: Callable[[Json, Json], Json] | None = None
    events: Callable[[Json, Json], Iterator[bytes]] | None = None

    def needs_upstream(self, request: Json) -> str:
        """Why no SLM may answer a call, "" if one may. A response is stored upstream unless told otherwise, and later calls may name it."""
        if self.says is None:
            return "no_slm_for_this_api"
        return "stored_response" if self.name == "responses" and request.get("store") is not False else ""

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


CHAT = Api(
    "chat", "/chat/completions", "openai", _same, _same, openai_error, ChatStream, lambda event: False, saying.chat, saying.chat_events
)
RESPONSES = Api(
    "responses",
    "/responses",
    "openai",
    openai_responses.chat_request,
    openai_responses.chat_response,
    openai_error,
    ResponseStream,
    lambda event: event.get("type") in ("response.completed", "response.incomplete"),
    saying.response,
    saying.response_events,
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
    saying.message,
    saying.message_events,
)
COUNTING = replace(MESSAGES, name="count_tokens", path="/messages/count_tokens", stream=None)
"""No model answers, so it is no call that is logged."""
EMBEDDINGS = Api("embeddings", "/embeddings", "openai", _same, _without_vectors, openai_error, None, lambda event: False)
APIS = (CHAT, RESPONSES, MESSAGES, EMBEDDINGS)
