"""Answers that nobody waits for: what a release in shadow would have said, and, as an audit, what the LLM says where an SLM served."""

import time

import orjson

from slm_pipeline.gateway.errors import CallError
from slm_pipeline.gateway.slm import SlmSide
from slm_pipeline.gateway.upstreams import Ask, Upstreams
from slm_pipeline.records import Attempt, Json, response_answer
from slm_pipeline.scores import same_answer
from slm_pipeline.settings import Settings


async def shadowed(slm: SlmSide, request: Json, said: Json, settings: Settings) -> Attempt | None:
    """The attempt of the release in shadow at a call in chat form that the LLM answered with `said`: rejected if it would not have been
    served, or says something else. None if it would not have been asked."""
    attempt = await slm.shadow(request)
    if attempt is None:
        return None
    agrees = _same(said, attempt.response, request, settings)
    changed = {"role": "shadow", "agrees": agrees}
    if attempt.verdict == "accepted" and not agrees:
        changed |= {"verdict": "rejected", "reason": "disagrees"}
    return attempt.model_copy(update=changed)


async def audited(upstreams: Upstreams, ask: Ask, request: Json, said: Json, settings: Settings) -> Attempt:
    """What the LLM says of a call that an SLM answered with `said` (both in chat form); an error if it says nothing."""
    plain = {name: value for name, value in ask.request.items() if name not in ("stream", "stream_options")}
    again = Ask(ask.api, ask.query, plain, orjson.dumps(plain), ask.headers, ask.caller)
    model, began = str(ask.request.get("model")), time.perf_counter()
    try:
        reply = await upstreams.ask(again)
    except CallError as error:
        return Attempt(model=model, role="audit", verdict="error", reason=error.code)
    response = ask.api.response(reply.value)
    latency = round((time.perf_counter() - began) * 1000, 1)
    agrees = _same(response, said, request, settings)
    return Attempt(model=model, role="teacher", response=response, verdict="accepted", reason="audit", latency_ms=latency, agrees=agrees)


def _same(target: Json, given: Json | None, request: Json, settings: Settings) -> bool:
    one, other = response_answer(target), response_answer(given) if given else None
    if one is None or other is None:
        return one is other
    return same_answer(one, other, request.get("tools") or [], settings.leeway, settings.similarity_pass)
