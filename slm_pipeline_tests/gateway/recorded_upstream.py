"""An LLM provider on loopback that keeps every request and answers the same question always the same way.

It speaks OpenAI's chat completions, Responses API, embeddings and model list, and Anthropic's messages, whole and streamed. The
request's `model` says how it behaves: any ordinary name answers, and these are ill (each at every API that has such a thing):

hang            no answer until the client leaves              status-400 ... 401, 429, 500, 503: that error; 429 has Retry-After
slow-first      first token after 3 s                          error-in-stream  two chunks, an error event, the end;
                                                               not streamed: an error with status 200
slow-stream     a chunk every 0.2 s, for 10 s                  fail-once        503 for the first request of each `user`
stall           four chunks, then nothing more                 no-done          a stream without its `data: [DONE]`
break           the connection is cut in the midst             empty            no choices
garbage         status 200 and a body that is not JSON         unknown-fields   fields that no specification knows, an echo
ragged          a stream in pieces of 7 bytes                  reasoner...      thinks before it answers
"""

import asyncio
import contextlib
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from slm_pipeline_tests.gateway import upstream_chat, upstream_messages, upstream_responses
from slm_pipeline_tests.gateway.upstream_chat import DONE

SLOW_FIRST = 3.0
SLOW_STREAM = 0.2
APIS = {"/v1/chat/completions": upstream_chat, "/v1/responses": upstream_responses, "/v1/messages": upstream_messages}


class Cut(Exception):
    """Raised in the midst of an answer, to end it there."""


@dataclass
class Received:
    """A request as it came in."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    aborted: bool = False  # the client went away before the answer ended
    ended: bool = False  # the answer did, whichever way


class RecordedUpstream:
    """The provider: what came in, how much of it is in flight, and its switch."""

    def __init__(self):
        self.requests: list[Received] = []
        self.active = 0  # requests in flight
        self.failed = set()  # users who had their failure
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self):
        listening = socket.create_server(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        routes = [Route(path, answer, methods=["POST"]) for path in APIS]
        routes += [Route("/v1/messages/count_tokens", count, methods=["POST"])]
        routes += [Route("/v1/embeddings", embed, methods=["POST"]), Route("/v1/models", models), Route("/v1/models/{name}", models)]
        self.server = uvicorn.Server(uvicorn.Config(Recorder(Starlette(routes=routes), self), log_config=None, lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [listening]}, daemon=True)
        self.thread.start()
        if not eventually(lambda: self.server.started):
            raise RuntimeError("the recorded upstream did not start")

    def stop(self):
        """Ends the server, whatever hangs in it; its port is closed then."""
        self.server.should_exit = self.server.force_exit = True
        self.thread.join(timeout=10)

    @contextlib.contextmanager
    def down(self):
        """Nothing listens at the provider's address for a while."""
        self.stop()
        try:
            yield
        finally:
            self.start()


class Recorder:
    """Keeps each request with its end. The server cuts the connection of an application that returns in the midst of its answer."""

    def __init__(self, app, upstream: RecordedUpstream):
        self.app, self.upstream = app, upstream

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        raw = b""
        while (message := await receive())["type"] == "http.request":
            raw += message.get("body", b"")
            if not message.get("more_body"):
                break
        try:
            body = json.loads(raw or b"null")
        except ValueError:
            body = raw.decode(errors="replace")
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        received = Received(scope["method"], scope["path"], scope["query_string"].decode(), headers, body)
        answered = False

        async def send_and_see(message):
            nonlocal answered
            answered = answered or (message["type"] == "http.response.body" and not message.get("more_body"))
            await send(message)

        async def see_disconnect():
            message = await receive()
            if message["type"] == "http.disconnect" and not answered:
                received.aborted = True
            return message

        self.upstream.requests.append(received)
        self.upstream.active += 1
        scope["state"] = {"body": body, "upstream": self.upstream}
        try:
            with contextlib.suppress(Cut):
                await self.app(scope, see_disconnect, send_and_see)
        finally:
            self.upstream.active -= 1
            received.ended = True


async def answer(request: Request) -> Response:
    """The answer of any of the APIs that stream, well or ill."""
    api, body, upstream = APIS[request.url.path], request.state.body, request.state.upstream
    if ill := await failure(request, api, upstream):
        return ill
    model = body["model"]
    if body.get("stream"):
        return StreamingResponse(streamed(model, api, body), media_type="text/event-stream", headers={"x-request-id": "req_recorded"})
    if model in ("slow-first", "slow-stream") and not await stayed(request, SLOW_FIRST if model == "slow-first" else 50 * SLOW_STREAM):
        return Response()
    content = json.dumps(api.respond(body), ensure_ascii=False).encode()
    if model == "error-in-stream":
        return JSONResponse(api.error(500, "the upstream broke off"))
    if model == "break":
        size = {"content-length": str(len(content))}
        return StreamingResponse(cut(content[: len(content) // 2]), media_type="application/json", headers=size)
    return Response(content, media_type="application/json", headers={"x-request-id": "req_recorded"})


async def failure(request: Request, api, upstream: RecordedUpstream) -> Response | None:
    """The answer of those that give none; None for the others."""
    body = request.state.body
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return JSONResponse(api.error(400, "you must provide a model parameter"), 400)
    model = body["model"]
    if model == "hang" or (model == "stall" and not body.get("stream")):
        await stayed(request, 3600)
        return Response()
    if model.startswith("status-"):
        status = int(model.removeprefix("status-"))
        return JSONResponse(api.error(status, f"the upstream says {status}"), status, {"retry-after": "1"} if status == 429 else {})
    if model == "fail-once" and api.user(body) not in upstream.failed:
        upstream.failed.add(api.user(body))
        return JSONResponse(api.error(503, "the upstream is overloaded, once"), 503)
    if model == "garbage" and not body.get("stream"):
        return Response("<html>Welcome to the proxy</html>", media_type="application/json")
    return None


async def streamed(model: str, api, body):
    """The events of a stream as bytes, with their delays and their end."""
    events = api.stream(body)
    if model == "slow-first":
        await asyncio.sleep(SLOW_FIRST)
    if model == "garbage":
        events = ["this is no event stream\n\n", "data: <html>{nor JSON\n\n"]
    if model == "no-done":
        events = [event for event in events if event != DONE]
    if model == "error-in-stream":
        events = [*events[:2], api.error_event("the upstream broke off")]
    if model in ("break", "stall"):
        events = events[:4]
    if model == "ragged":
        whole = "".join(events).encode()
        events = [whole[i : i + 7] for i in range(0, len(whole), 7)]
    for event in events:
        yield event
        await asyncio.sleep(SLOW_STREAM if model == "slow-stream" else 0)  # 0: each event is a packet of its own
    if model == "break":
        raise Cut
    if model == "stall":
        await asyncio.sleep(3600)


async def cut(content: bytes):
    yield content
    raise Cut


async def stayed(request: Request, seconds: float) -> bool:
    """True if the client is still there after that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if await request.is_disconnected():
            return False
        await asyncio.sleep(0.05)
    return True


async def embed(request: Request) -> Response:
    return await failure(request, upstream_chat, request.state.upstream) or JSONResponse(upstream_chat.embed(request.state.body))


async def count(request: Request) -> Response:
    """A token for each letter of the messages."""
    counted = JSONResponse({"input_tokens": len(json.dumps(request.state.body.get("messages")))})
    return await failure(request, upstream_messages, request.state.upstream) or counted


async def models(request: Request) -> Response:
    listed = upstream_chat.models()
    if (name := request.path_params.get("name")) is None:
        return JSONResponse(listed)
    found = [model for model in listed["data"] if model["id"] == name]
    return JSONResponse(found[0]) if found else JSONResponse(upstream_chat.error(404, f"The model '{name}' does not exist"), 404)


@contextlib.contextmanager
def recorded_upstream():
    """The running provider; it ends with the context."""
    upstream = RecordedUpstream()
    try:
        yield upstream
    finally:
        upstream.stop()


def eventually(condition, seconds: float = 10):
    """`condition()` as soon as it is true; what it last was if it does not become so in time."""
    end = time.monotonic() + seconds
    while not (value := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return value
