"""One call of a model, from the request's first byte to the log: decided on, passed to an upstream, answered, recorded."""

import asyncio
import random
import time
import uuid
from collections.abc import Coroutine
from http import HTTPStatus

import orjson

from slm_pipeline.gateway import metrics, sse
from slm_pipeline.gateway.apis import CHAT, DONE, Api
from slm_pipeline.gateway.bodies import request_of
from slm_pipeline.gateway.comparing import audited, shadowed
from slm_pipeline.gateway.decision import Decision
from slm_pipeline.gateway.engines import NOT_READY
from slm_pipeline.gateway.errors import CallError
from slm_pipeline.gateway.finished import Finished
from slm_pipeline.gateway.identity import Caller, Headers, Identity, session_of
from slm_pipeline.gateway.leaving import unless_client_leaves
from slm_pipeline.gateway.log_writer import LogWriter
from slm_pipeline.gateway.saying import chat_end, chat_piece
from slm_pipeline.gateway.slm import SlmSide, Tried
from slm_pipeline.gateway.upstreams import Ask, Reply, Upstreams
from slm_pipeline.records import Attempt, Json
from slm_pipeline.s1_collect.importers.sessions import opening
from slm_pipeline.settings import Settings

CLIENT_LEFT = 499
COMMIT_SECONDS = 10.0  # sync mode: how long an answer waits for the log
EVENT_STREAM = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
AT_ONCE = Decision("slm", "certified")
"""An answer that is sent while it is written."""


class ModelCalls:
    """The ASGI endpoint of one API."""

    def __init__(self, api: Api, upstreams: Upstreams, identity: Identity, writer: LogWriter, slm: SlmSide, settings: Settings):
        self.api, self.upstreams, self.identity, self.writer, self.slm, self.settings = api, upstreams, identity, writer, slm, settings
        self.max_bytes = settings.max_request_mb << 20
        self._begun: set[asyncio.Task] = set()

    async def __call__(self, scope, receive, send) -> None:
        await unless_client_leaves(receive, _Call(self, scope, send).run)

    def begin(self, work: Coroutine) -> None:
        """Do something that no client waits for."""
        task = asyncio.ensure_future(work)
        self._begun.add(task)
        task.add_done_callback(self._begun.discard)

    async def finish(self, seconds: float) -> None:
        """Let what was begun come to its end."""
        if self._begun:
            await asyncio.wait(self._begun, timeout=seconds)


class _Call:
    """The state of one call."""

    def __init__(self, gateway: ModelCalls, scope, send):
        self.gateway, self.api, self._send, self._scope = gateway, gateway.api, send, scope
        self.began, self.timestamp = time.perf_counter(), time.time()
        self.id = f"call-{uuid.uuid4().hex}"
        self.headers: Headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.ask: Ask | None = None
        self.caller: Caller | None = None
        self.decision = Decision("llm", "refused")
        self.tried = Tried(self.decision)
        self.chat: Json = {}
        self.said_aloud = False  # whether an SLM's answer was begun while it was written
        self.stream = None
        self.waited = 0.0  # beside the wait for an upstream's first byte, which `ask` counts
        self.recorded = False
        self.sampled = random.random() < gateway.settings.audit_share

    async def run(self, read) -> None:
        """Answer the call; `read` gives the request's body."""
        try:
            try:
                client = self._scope.get("client")
                self.caller = self.gateway.identity.caller(self.headers, client[0] if client else None, "call")
                await self._answer(await read(self.gateway.max_bytes))
            except CallError as error:
                await self._refuse(error)
        except asyncio.CancelledError:
            error = {"message": "the client left", "type": "client_left", "code": "client_left"}
            await self._record(CLIENT_LEFT, None, error, waits=False)
            raise
        metrics.overhead.labels(self.api.name).observe(self._overhead())
        if self.ask:
            metrics.upstream_seconds.labels(self.api.name).observe(self.ask.waited)

    async def _answer(self, body: bytes) -> None:
        self.ask = Ask(self.api, self._scope["query_string"].decode("latin-1"), request_of(body), body, self.headers, self.caller)
        self.chat = self.api.request(self.ask.request)
        reason = self.api.needs_upstream(self.ask.request)
        if reason:
            self.decision = Decision("llm", reason)
        else:
            await self._ask_slm()
        if self.said_aloud:
            await self._end_aloud()
            return
        if self.tried.response is not None:
            await self._serve(self.api.says(self.tried.response, self.ask.request))
            return
        try:
            reply = await self.gateway.upstreams.ask(self.ask)
        except CallError as error:
            if self.decision.reason in NOT_READY and error.code == "upstream_unreachable":
                message = f"{error.message} Nor can the SLM that would answer: {self.decision.reason}."
                raise CallError(503, message, "slm_and_upstream_unavailable") from error
            raise
        if reply.rest is not None:
            await self._pass_stream(reply)
        else:
            await self._record(200, reply.value)
            await self._respond(200, reply.body, reply.headers)

    async def _ask_slm(self) -> None:
        began = time.perf_counter()
        live = self.ask.streaming and self.api is CHAT
        self.tried = await (self._ask_aloud() if live else self.gateway.slm.answer(self.chat, self._session, random.random()))
        self.decision = self.tried.decision
        if self.tried.attempt is not None:
            self.waited += time.perf_counter() - began

    def _session(self) -> str:
        return session_of(self.headers) or opening(self.caller.client_id, self.chat)

    async def _ask_aloud(self) -> Tried:
        """Ask the SLM, and pass on what it says as it comes, if it is one that may."""
        pieces: asyncio.Queue = asyncio.Queue()
        sending = asyncio.ensure_future(self._send_pieces(pieces))
        try:
            tried = await self.gateway.slm.answer(self.chat, self._session, random.random(), lambda *piece: pieces.put_nowait(piece))
            pieces.put_nowait(None)
            await sending
            return tried
        finally:
            sending.cancel()

    async def _send_pieces(self, pieces: asyncio.Queue) -> None:
        """Send an SLM's answer while it is written: pairs of a chat completion's beginning and a piece of its text, None at the end."""
        while (piece := await pieces.get()) is not None:
            if not self.said_aloud:
                self.said_aloud, self.decision = True, AT_ONCE
                await self._start(200, EVENT_STREAM)
            await self._send({"type": "http.response.body", "body": chat_piece(*piece), "more_body": True})

    async def _end_aloud(self) -> None:
        """End the stream of an answer that was sent while it was written, or break it off."""
        if self.tried.response is None:
            await self._break_off(CallError(502, "The SLM broke off in the midst of the answer.", "broken_stream"))
            return
        await self._record(200, self.tried.response)
        for event in chat_end(self.tried.response, self.ask.request):
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _serve(self, said: Json) -> None:
        """An SLM's answer, in the API's own form, whole or as a stream: it was verified first."""
        await self._record(200, said)
        if not self.ask.streaming:
            await self._respond(200, orjson.dumps(said), {"content-type": "application/json"})
            return
        await self._start(200, EVENT_STREAM)
        for event in self.api.events(said, self.ask.request):
            await self._send({"type": "http.response.body", "body": event, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _pass_stream(self, reply: Reply) -> None:
        """Send the events on as they come, byte by byte. A failure ends the connection, never the stream."""
        self.stream = self.api.stream()
        try:
            await self._start(200, reply.headers)
            for event in reply.first:
                await self._pass_event(event, reply)
            while (event := await self._next(reply)) is not None:
                await self._pass_event(event, reply)
            if self.stream.error:
                raise CallError(502, str(self.stream.error.get("message")), "error_in_stream")
            if not self.recorded and not self.stream.finished:
                raise CallError(502, f"{reply.upstream.name} broke off in the midst of the answer.", "broken_stream")
            await self._record(200, self.stream.response())
            await self._send({"type": "http.response.body", "body": b""})
        except CallError as error:
            await self._break_off(error)
        finally:
            reply.connection.close() if not reply.connection.content.is_eof() else reply.connection.release()

    async def _next(self, reply: Reply) -> bytes | None:
        began = time.perf_counter()
        try:
            async with asyncio.timeout_at(reply.deadline):
                return await anext(reply.rest, None)
        except TimeoutError as error:
            message = f"{reply.upstream.name} did not end within {reply.upstream.total_seconds:g} s."
            raise CallError(504, message, "timeout_total") from error
        except Exception as error:  # whatever aiohttp or the event's form has to say: the answer broke off
            raise CallError(502, f"{reply.upstream.name} broke off in the midst of the answer.", "broken_stream") from error
        finally:
            self.ask.waited += time.perf_counter() - began

    async def _pass_event(self, event: bytes, reply: Reply) -> None:
        data = sse.data_of(event)
        last = data == DONE
        if data and not last:
            try:
                value = sse.object_of(data)
            except ValueError as error:
                raise CallError(502, f"{reply.upstream.name} sent an event that is not this API's form.", "broken_stream") from error
            self.stream.feed(value)
            if reply.hides_usage and value.get("usage") and value.get("choices") == []:
                return
            last = self.api.last_event(value)
        if last and not self.stream.error:
            await self._record(200, self.stream.response())
        began = time.perf_counter()
        await self._send({"type": "http.response.body", "body": event, "more_body": True})
        self.waited += time.perf_counter() - began

    async def _break_off(self, error: CallError) -> None:
        """Say why, in the stream, and return without ending it: the server then cuts the connection."""
        metrics.broken_streams.labels(self.api.name, error.code).inc()
        await self._record(200, None, self.api.error(error.status, error.message, error.code)["error"] | {"code": error.code}, waits=False)
        if self.stream is None or not self.stream.error:  # else the upstream's own words have been passed on
            await self._send(
                {"type": "http.response.body", "body": self.api.error_event(error.status, error.message, error.code), "more_body": True}
            )

    async def _refuse(self, error: CallError) -> None:
        said = self.api.error(error.status, error.message, error.code, error.param)
        body = error.body if error.body is not None else orjson.dumps(said)
        if self.ask:
            await self._record(error.status, None, said["error"] | {"code": error.code}, waits=False)
        else:
            self._count(error.status)
        await self._respond(error.status, body, error.headers | {"content-type": "application/json"})

    async def _record(self, status: int, response: Json | None, error: Json | None = None, waits: bool = True) -> None:
        """Hand the call to the log, once. In sync mode the answer waits until it is committed; CallError if it is not."""
        if self.recorded or self.ask is None:
            return
        self.recorded = True
        self._count(status)
        partial = self.stream.response() if response is None and self.stream and self.stream.begun else None
        latency = (time.perf_counter() - self.began) * 1000
        metrics.decisions.labels(self.decision.route, self.decision.reason).inc()
        finished = Finished(
            self.id,
            self.api,
            self.caller,
            session_of(self.headers),
            self.timestamp,
            latency,
            self.chat,
            self.decision,
            status,
            response,
            error,
            partial,
            self.ask.attempts,
            self.tried.attempt,
            sampled=self.sampled,
        )
        if response is not None:
            self.gateway.identity.spend(self.caller, _tokens(response))
        elif partial is not None and self.ask.attempts:
            upstream, _, milliseconds = self.ask.attempts[-1]
            self.ask.attempts[-1] = (upstream, str(error.get("code")), milliseconds)
        committed = await self._logged(finished)
        if committed is None or not waits:
            return
        began = time.perf_counter()
        try:
            written = await asyncio.wait_for(committed, COMMIT_SECONDS)
        except TimeoutError:
            written = None
        self.waited += time.perf_counter() - began
        if not written:
            raise CallError(503, "The answer is withheld: the call could not be logged (log_mode is sync).", "log_unavailable")

    async def _logged(self, finished: Finished) -> asyncio.Future | None:
        """Hand a call to the log; if it is compared with another answer first, later, unless the client's answer waits for the log."""
        comparing = self._comparing(finished)
        if comparing is None:
            return self.gateway.writer.put(finished)

        async def compared() -> asyncio.Future | None:
            finished.compared = await comparing
            return self.gateway.writer.put(finished)

        if self.gateway.writer.sync:
            return await compared()
        self.gateway.begin(compared())
        return None

    def _comparing(self, finished: Finished) -> Coroutine | None:
        """An audit of what an SLM served, or the release in shadow beside what the LLM said."""
        slm, settings = self.gateway.slm, self.gateway.settings
        if finished.response is None:
            return None
        said = self.api.response(finished.response)
        if self.decision.route == "slm":
            return self._audit(said) if self.sampled or random.random() < slm.caution(self.decision) else None
        return shadowed(slm, self.chat, said, settings) if slm.shadows and self.api.says else None

    async def _audit(self, said: Json) -> Attempt:
        attempt = await audited(self.gateway.upstreams, self.ask, self.chat, said, self.gateway.settings)
        if attempt.role == "teacher":
            await self.gateway.slm.audited(self.decision, attempt.agrees)
        return attempt

    def _count(self, status: int) -> None:
        metrics.calls.labels(self.api.name, self.decision.route, status).inc()

    def _overhead(self) -> float:
        return time.perf_counter() - self.began - self.waited - (self.ask.waited if self.ask else 0.0)

    async def _start(self, status: int, headers: Headers) -> None:
        if status == HTTPStatus.OK:
            metrics.answer_seconds.labels(self.decision.route).observe(time.perf_counter() - self.began)
        ours = {"x-slm-id": self.id, "x-slm-route": self.decision.route, "x-slm-overhead-ms": f"{self._overhead() * 1000:.2f}"}
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers | ours).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _respond(self, status: int, body: bytes, headers: Headers) -> None:
        await self._start(status, headers | {"content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})


def _tokens(response: Json) -> int:
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return 0
    total = usage.get("total_tokens")
    parts = [total] if isinstance(total, int) else [usage.get("input_tokens"), usage.get("output_tokens")]
    return sum(part for part in parts if isinstance(part, int))
