"""Asking upstreams: in the order in which they are configured, with retries, time-outs and fall-back, until one answers."""

import asyncio
import fnmatch
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import aiohttp
import orjson

from slm_pipeline.gateway import metrics, sse
from slm_pipeline.gateway.apis import CHAT, DONE, Api
from slm_pipeline.gateway.bodies import parse
from slm_pipeline.gateway.errors import CallError, in_form
from slm_pipeline.gateway.identity import Caller, Headers
from slm_pipeline.records import Json
from slm_pipeline.settings import Upstream

BACKOFF = 0.2  # seconds before the first retry, doubled each time, with jitter
MAX_BACKOFF = 5.0
_AGAIN = {408, 500, 502, 503, 504, 529}  # may pass by itself
_ELSEWHERE = {401, 403, 404, 429} | _AGAIN  # another upstream may answer
_NOT_PASSED_ON = {
    *("host", "connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-authorization", "proxy-connection"),
    *("content-length", "content-encoding", "accept-encoding", "authorization", "x-api-key", "cookie", "set-cookie", "expect"),
    *("x-slm-agent", "x-slm-session", "x-forwarded-for", "forwarded", "date", "server", "alt-svc", "strict-transport-security"),
}


@dataclass
class Ask:
    """A request on its way: `query` and `body` as they came, `request` is what the body says. `attempts` is filled while it is tried."""

    api: Api
    query: str
    request: Json
    body: bytes
    headers: Headers
    caller: Caller
    attempts: list[tuple[str, str, float]] = field(default_factory=list)
    waited: float = 0.0

    @property
    def streaming(self) -> bool:
        return self.request.get("stream") is True and self.api.stream is not None


@dataclass
class Reply:
    """An upstream's answer: its whole body, or a stream whose first events are here already and whose others are awaited."""

    upstream: Upstream
    headers: Headers
    body: bytes = b""
    value: Json | None = None
    first: list[bytes] = field(default_factory=list)
    rest: AsyncIterator[bytes] | None = None
    hides_usage: bool = False
    connection: aiohttp.ClientResponse | None = None
    deadline: float = 0.0


class Upstreams:
    """The configured upstreams and the connections to them."""

    def __init__(self, upstreams: Sequence[Upstream]):
        self._upstreams = upstreams
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=30, ttl_dns_cache=60)
        no_limit = aiohttp.ClientTimeout(total=None, sock_connect=None)
        self._session = aiohttp.ClientSession(connector=connector, timeout=no_limit, cookie_jar=aiohttp.DummyCookieJar())

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, ask: Ask) -> Reply:
        """The first answer that an upstream gives. Raises CallError with what the last one tried said."""
        failure = None
        for upstream in self._serving(ask):
            for retry in range(upstream.retries + 1):
                try:
                    return await self._try(upstream, ask)
                except CallError as error:
                    failure = error
                    metrics.upstream_errors.labels(upstream.name, error.code).inc()
                    if error.status not in _ELSEWHERE:
                        raise
                    if error.status not in _AGAIN or error.code.startswith("timeout") or retry == upstream.retries:
                        break
                await asyncio.sleep(min(MAX_BACKOFF, BACKOFF * 2**retry) * random.uniform(0.5, 1))
        raise failure

    async def fetch(self, path: str, query: str, headers: Headers, caller: Caller, api: str) -> list[bytes]:
        """What the upstreams of an API say to a GET; CallError if none answers."""
        answers, failure = [], CallError(502, f"No upstream of the {api} API is configured.", "no_upstream")
        for upstream in (u for u in self._upstreams if u.api == api):
            try:
                url, sent = _url(upstream, path, query), _headers(upstream, headers, caller)
                async with asyncio.timeout(upstream.first_token_seconds), self._session.get(url, headers=sent) as response:
                    body = await response.read()
                    if response.status != 200:
                        raise _refusal(upstream, response, body, api == "anthropic")
                    answers.append(body)
            except (TimeoutError, aiohttp.ClientError) as error:
                failure = _unreachable(upstream, error)
            except CallError as error:
                failure = error
        if not answers:
            raise failure
        return answers

    def _serving(self, ask: Ask) -> list[Upstream]:
        model = str(ask.request.get("model"))
        speaking = [u for u in self._upstreams if u.api == ask.api.speaks]
        serving = [u for u in speaking if any(fnmatch.fnmatchcase(model, pattern) for pattern in u.models)]
        if not serving:
            message = f"No upstream of the {ask.api.speaks} API serves the model {model!r}; upstreams stand in slm.toml."
            raise CallError(404, message, "model_not_found", "model")
        return serving

    async def _try(self, upstream: Upstream, ask: Ask) -> Reply:
        began = time.perf_counter()
        try:
            reply = await self._send(upstream, ask)
        except CallError as error:
            ask.attempts.append((upstream.name, error.code, _milliseconds(began)))
            raise
        except asyncio.CancelledError:
            ask.attempts.append((upstream.name, "client_left", _milliseconds(began)))
            raise
        finally:
            ask.waited += time.perf_counter() - began
        ask.attempts.append((upstream.name, "", _milliseconds(began)))
        return reply

    async def _send(self, upstream: Upstream, ask: Ask) -> Reply:
        deadline = asyncio.get_running_loop().time() + upstream.total_seconds
        limit, kind = (upstream.first_token_seconds, "first_token") if ask.streaming else (upstream.total_seconds, "total")
        body, hides_usage = _body(upstream, ask)
        response = None
        try:
            async with asyncio.timeout(min(limit, upstream.total_seconds)):
                response = await self._session.post(
                    _url(upstream, ask.api.path, ask.query),
                    data=body,
                    headers=_headers(upstream, ask.headers, ask.caller),
                    timeout=aiohttp.ClientTimeout(total=None, sock_connect=upstream.connect_seconds),
                )
                headers = _passed(response.headers)
                if response.status >= 400 or not ask.streaming:
                    content = await response.read()
                    if response.status >= 400:
                        raise _refusal(upstream, response, content, ask.api.speaks == "anthropic")
                    return Reply(upstream, headers, content, _answer(upstream, content))
                rest = sse.events(response.content.iter_any())
                first = await _first_events(rest)
                reply = Reply(upstream, headers, first=first, rest=rest, hides_usage=hides_usage, connection=response, deadline=deadline)
                response = None  # the reader of the stream closes it
                return reply
        except aiohttp.ConnectionTimeoutError as error:
            message = f"{upstream.name} did not accept a connection within {upstream.connect_seconds:g} s."
            raise CallError(504, message, "timeout_connect") from error
        except TimeoutError as error:
            raise CallError(504, f"{upstream.name} did not answer within {limit:g} s.", f"timeout_{kind}") from error
        except aiohttp.ClientError as error:
            raise _unreachable(upstream, error) from error
        except ValueError as error:
            raise CallError(502, f"{upstream.name} answered with something that is not this API's form.", "bad_upstream_answer") from error
        finally:
            if response is not None:
                response.release() if response.content.is_eof() else response.close()


async def _first_events(events: AsyncIterator[bytes]) -> list[bytes]:
    """Events up to the first that says something; it must be JSON. Raises ValueError."""
    first = []
    async for event in events:
        first.append(event)
        if data := sse.data_of(event):
            if data != DONE:
                sse.object_of(data)
            return first
    raise ValueError("a stream without an event")


def _body(upstream: Upstream, ask: Ask) -> tuple[bytes, bool]:
    """The body to send, and whether it asks for token counts that the client did not ask for; untouched where nothing is changed."""
    changed: Json = {"model": upstream.rename} if upstream.rename else {}
    options = ask.request.get("stream_options")
    counts = ask.streaming and ask.api is CHAT and upstream.stream_usage and (options is None or isinstance(options, dict))
    hides = bool(counts and not (options or {}).get("include_usage"))
    if hides:
        changed["stream_options"] = {**(options or {}), "include_usage": True}
    return (orjson.dumps(ask.request | changed) if changed else ask.body), hides


def _url(upstream: Upstream, path: str, query: str) -> str:
    return upstream.base_url.rstrip("/") + path + (f"?{query}" if query else "")


def _headers(upstream: Upstream, headers: Headers, caller: Caller) -> Headers:
    made = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON}
    if key := upstream.api_key:
        return made | ({"x-api-key": key} if upstream.api == "anthropic" else {"authorization": f"Bearer {key}"})
    return made | caller.credentials


def _passed(headers) -> Headers:
    return {name.lower(): value for name, value in headers.items() if name.lower() not in _NOT_PASSED_ON}


def _answer(upstream: Upstream, body: bytes) -> Json:
    value = parse(body)
    if not isinstance(value, dict):
        raise ValueError("an answer must be a JSON object")
    if value.get("error") and not value.get("choices") and not value.get("output"):
        raise CallError(502, f"{upstream.name} answered with an error and status 200.", "bad_upstream_answer", body=body)
    return value


def _refusal(upstream: Upstream, response: aiohttp.ClientResponse, body: bytes, anthropic: bool) -> CallError:
    text = body[:500].decode("utf-8", "replace")
    passed = {k: v for k, v in _passed(response.headers).items() if k != "content-type"}
    own, message = body if in_form(body, anthropic) else None, f"{upstream.name} answered {response.status}: {text}"
    return CallError(response.status, message, f"upstream_{response.status}", None, own, passed)


def _unreachable(upstream: Upstream, error: Exception) -> CallError:
    return CallError(502, f"{upstream.name} cannot be reached, or broke off: {type(error).__name__}.", "upstream_unreachable")


def _milliseconds(began: float) -> float:
    return (time.perf_counter() - began) * 1000
