"""The gateway's HTTP routes. Model calls are `model_call.py`'s; here are the small ones, each a thin shell."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from slm_pipeline.gateway import metrics
from slm_pipeline.gateway.apis import APIS, COUNTING
from slm_pipeline.gateway.bodies import gathered, parse, request_of
from slm_pipeline.gateway.dashboard import page
from slm_pipeline.gateway.errors import CallError, anthropic_error, openai_error
from slm_pipeline.gateway.feedback import feedback_of
from slm_pipeline.gateway.identity import Identity
from slm_pipeline.gateway.log_writer import LogWriter
from slm_pipeline.gateway.model_call import COMMIT_SECONDS, ModelCalls
from slm_pipeline.gateway.openapi import openapi
from slm_pipeline.gateway.slm import SlmSide
from slm_pipeline.gateway.upstreams import Ask, Upstreams
from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.api_keys import KeyRole
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.settings import Settings

REFRESH_SECONDS = 5.0
COMPARING_SECONDS = 10.0  # that audits and answers in shadow have at the end
log = logging.getLogger(__name__)


class Gateway:
    """What the routes share while the server runs."""

    def __init__(self, settings: Settings, call_log: CallLog):
        self.settings = settings
        self.max_bytes = settings.max_request_mb << 20
        self.upstreams = Upstreams(settings.upstreams)
        self.identity = Identity(call_log)
        self.writer = LogWriter(call_log, settings)
        self.slm = SlmSide(settings)
        self.endpoints: list[ModelCalls] = []

    async def follow_keys(self) -> None:
        """Keys that are made or removed count within seconds."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await asyncio.to_thread(self.identity.refresh)
            except Exception as error:  # the log may be away for a while; the keys known stay
                log.warning("API keys could not be read again: %s", str(error).splitlines()[0])

    async def close(self) -> None:
        for calls in self.endpoints:
            await calls.finish(COMPARING_SECONDS)
        await self.upstreams.close()
        self.slm.close()
        await asyncio.to_thread(self.writer.stop)


def make_app(settings: Settings, call_log: CallLog) -> Starlette:
    """The ASGI application; `call_log` is a collector's."""
    routes: list[Route] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        gateway = app.state.gateway = Gateway(settings, call_log)
        for api in APIS:
            calls = ModelCalls(api, gateway.upstreams, gateway.identity, gateway.writer, gateway.slm, settings)
            gateway.endpoints.append(calls)
            app.router.routes.append(Route(f"/v1{api.path}", calls, methods=["POST"]))
        following = [asyncio.create_task(of) for of in (gateway.follow_keys(), gateway.slm.follow())]
        try:
            yield
        finally:
            for task in following:
                task.cancel()
            await gateway.close()

    routes += [
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", models),
        Route(f"/v1{COUNTING.path}", count_tokens, methods=["POST"]),
        Route("/v1/feedback", feedback, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/metrics", prometheus),
        Route("/dashboard", dashboard),
        Route("/openapi.json", description),
    ]
    return Starlette(
        routes=routes, lifespan=lifespan, exception_handlers={CallError: _call_error, HTTPException: _http_error, Exception: _defect}
    )


async def models(request: Request) -> Response:
    """The models of all upstreams, one after the other; or one of them."""
    gateway, headers = request.app.state.gateway, dict(request.headers)
    api = "anthropic" if "anthropic-version" in headers else "openai"
    caller = gateway.identity.caller(headers, request.client and request.client.host, "call")
    name = request.path_params.get("name")
    answers = await gateway.upstreams.fetch(f"/models/{name}" if name else "/models", request.url.query, headers, caller, api)
    if len(answers) == 1 or name:
        return Response(answers[0], media_type="application/json")
    listed = [value for value in map(parse, answers) if isinstance(value, dict) and isinstance(value.get("data"), list)]
    return _json(200, {"object": "list", "data": [model for value in listed for model in value["data"]]})


async def count_tokens(request: Request) -> Response:
    """How many tokens a prompt of Anthropic's API has, as its upstream counts."""
    gateway, headers = request.app.state.gateway, dict(request.headers)
    caller = gateway.identity.caller(headers, request.client and request.client.host, "call")
    body = await gathered(request.stream(), gateway.max_bytes)
    reply = await gateway.upstreams.ask(Ask(COUNTING, request.url.query, request_of(body), body, headers, caller))
    return Response(reply.body, headers=reply.headers)


async def feedback(request: Request) -> Response:
    """Book feedback; answers when it is committed."""
    gateway = request.app.state.gateway
    caller = gateway.identity.caller(dict(request.headers), request.client and request.client.host, "feedback")
    limited = caller.key is not None and caller.key.role is not KeyRole.ADMIN
    said = feedback_of(await gathered(request.stream(), gateway.max_bytes), caller.client_id if limited else None)
    committed = gateway.writer.put(said)
    try:
        calls = await asyncio.wait_for(committed, COMMIT_SECONDS)
    except TimeoutError:
        calls = None
    if calls is None:
        raise CallError(503, "The log cannot take the feedback now; try again.", "log_unavailable")
    if not calls:
        field, what = ("call_id", "call") if said.call_id is not None else ("session_id", "session")
        raise CallError(404, f"No such {what} of this client is in the log.", "not_found", field)
    metrics.feedback.inc()
    return _json(200, {"object": "feedback", "calls": calls})


async def healthz(request: Request) -> Response:
    """The process runs."""
    return _json(200, {"status": "ok"})


async def readyz(request: Request) -> Response:
    """Calls can be answered and logged."""
    gateway = request.app.state.gateway
    reasons = [] if gateway.settings.upstreams else ["no upstream is configured"]
    reasons += [] if gateway.writer.healthy else ["the call log cannot be written to"]
    return _json(503 if reasons else 200, {"status": "not ready" if reasons else "ready", "reasons": reasons})


async def prometheus(request: Request) -> Response:
    """All metrics; with API keys in use, for monitors and admins."""
    gateway = request.app.state.gateway
    gateway.identity.caller(dict(request.headers), request.client and request.client.host, "metrics")
    metrics.waiting.set(gateway.writer.waiting())
    metrics.engines_ready.set(gateway.slm.engines.ready)
    metrics.engines_loading.set(gateway.slm.engines.loading)
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def dashboard(request: Request) -> Response:
    """What is served and saved, for people; a browser asks for the key where one is needed."""
    gateway = request.app.state.gateway
    try:
        gateway.identity.caller(dict(request.headers), request.client and request.client.host, "metrics")
    except CallError as error:
        if error.status == 401:
            error.headers["www-authenticate"] = 'Basic realm="SLM gateway: any name, and an API key as password"'
        raise
    live_only = "live" in request.query_params
    html, headers = await asyncio.to_thread(page, metrics.REGISTRY, gateway.slm, Lake(gateway.settings.lake), live_only)
    return Response(html, headers=headers, media_type="text/html")


async def description(request: Request) -> Response:
    """What is served, in OpenAPI's words."""
    return _json(200, openapi())


def _json(status: int, value: Json, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def _call_error(request: Request, error: CallError) -> Response:
    if error.body is not None:
        return Response(error.body, error.status, error.headers, "application/json")
    form = anthropic_error if "anthropic-version" in request.headers else openai_error
    return _json(error.status, form(error.status, error.message, error.code, error.param), error.headers)


def _http_error(request: Request, error: HTTPException) -> Response:
    paths = ", ".join(sorted({route.path for route in request.app.routes if "{" not in route.path}))
    message = f"{request.method} {request.url.path} is not served here; there are {paths}."
    return _json(error.status_code, openai_error(error.status_code, message, "unknown_url"), dict(error.headers or {}))


def _defect(request: Request, error: Exception) -> Response:
    return _json(500, openai_error(500, "The gateway failed; its log says why.", "gateway_error"))
