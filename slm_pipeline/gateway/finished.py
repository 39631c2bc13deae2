"""A call that is over, and what of it goes into the log."""

from dataclasses import dataclass, field

from slm_pipeline.gateway.apis import Api
from slm_pipeline.gateway.decision import Decision
from slm_pipeline.gateway.identity import Caller
from slm_pipeline.records import AgentCall, Attempt, Json, Route
from slm_pipeline.s1_collect.importers.sessions import Sessions


@dataclass(slots=True)
class Finished:
    """`request` is in chat form, `response` is the answer in the API's own form.

    If there is no answer it is None and `error` says why; `partial` is what came before the error.
    `attempts` are tries at upstreams as (upstream, error or "", milliseconds), `slm` is that of an SLM before, `compared` one
    that nobody waited for: an audit, or a release in shadow. `sampled`: drawn uniformly, for an LLM's answer in any case.
    """

    id: str
    api: Api
    caller: Caller
    session: str | None
    timestamp: float
    latency_ms: float
    request: Json
    decision: Decision
    status: int
    response: Json | None
    error: Json | None = None
    partial: Json | None = None
    attempts: list[tuple[str, str, float]] = field(default_factory=list)
    slm: Attempt | None = None
    compared: Attempt | None = None
    sampled: bool = False


def call_of(finished: Finished, sessions: Sessions) -> AgentCall:
    """The canonical call. A session that was not named is that of the conversation which the call continues.

    An answer that broke off is no answer: it stands with its attempt, and `response` holds the error.
    """
    client = finished.caller.client_id
    session = finished.session or sessions.session_of(client, finished.request, finished.id)
    response = {"error": finished.error} if finished.response is None else finished.api.response(finished.response)
    if finished.session is None:
        sessions.remember(client, finished.request, response, session)
    return AgentCall(
        id=finished.id,
        timestamp=finished.timestamp,
        agent=finished.caller.agent,
        session_id=session,
        client_id=client,
        request=finished.request,
        response=response,
        latency_ms=round(finished.latency_ms, 1),
        route=_route(finished),
        api=finished.api.name,
        status=finished.status,
        origin=finished.caller.origin,
    )


def _route(finished: Finished) -> Route:
    decided = finished.decision
    attempts = [*([finished.slm] if finished.slm else []), *_attempts(finished), *([finished.compared] if finished.compared else [])]
    known = {"group": decided.group, "release": decided.release, "p_ok": decided.chance}
    known = {name: value for name, value in known.items() if value is not None}
    known |= {"sampled": True} if finished.sampled else {}
    return Route(served_by=decided.route, reason=_reason(finished), attempts=attempts, **known)


def _reason(finished: Finished) -> str:
    return str(finished.error.get("code") or finished.error.get("type")) if finished.error else finished.decision.reason


def _attempts(finished: Finished) -> list[Attempt]:
    made = []
    for number, (upstream, error, milliseconds) in enumerate(finished.attempts, 1):
        broke_off = number == len(finished.attempts) and finished.response is None
        attempt = Attempt(
            model=str(finished.request.get("model")),
            role="teacher",
            verdict="error" if error else "accepted",
            reason=error,
            latency_ms=round(milliseconds, 1),
            upstream=upstream,
        )
        if broke_off and finished.partial is not None:
            attempt.response = finished.api.response(finished.partial)
        made.append(attempt)
    return made
