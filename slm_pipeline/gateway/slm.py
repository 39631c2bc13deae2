"""The SLMs in front of the LLM: they are asked first, and answer if their answer may be served."""

import asyncio
import logging
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from slm_pipeline.answering import Proposal
from slm_pipeline.checkers import CheckerError
from slm_pipeline.gateway import metrics
from slm_pipeline.gateway.decision import Decision
from slm_pipeline.gateway.engines import AGAIN_SECONDS, Engines, NotReady
from slm_pipeline.gateway.released import Ready, Released
from slm_pipeline.gateway.watch import CAUTION, Watch
from slm_pipeline.lake import Lake
from slm_pipeline.records import CHECKED, Answer, Attempt, Json, response_of
from slm_pipeline.resources.engine import Model
from slm_pipeline.s6_refine.release import RELEASE
from slm_pipeline.s6_refine.rollout import Rollout, read_rollout, write_rollout
from slm_pipeline.settings import Settings

FOLLOW_SECONDS = 2.0
STREAM_SECONDS = 120.0
"""For an answer that is sent while it is written."""
Hear = Callable[[Json, str], None]
"""Is told how a chat completion begins, and a piece of its text."""
Session = Callable[[], str]
"""Says whose call it is; asked only where that matters, for it may take the reading of a whole prompt."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tried:
    """What came of asking an SLM. response: in chat form, if it is to be served."""

    decision: Decision
    attempt: Attempt | None = None
    response: Json | None = None


class SlmSide:
    """Follows the rollout, and answers by it."""

    def __init__(self, settings: Settings):
        self._settings, self._lake = settings, Lake(settings.lake)
        self._releases: dict[str, Released] = {}
        self._refused: dict[str, float] = {}
        self._stood: set[str] = set()
        self.rollout = Rollout()
        self._watches: dict[str, Watch] = {}
        self.engines = Engines(settings.engines, self._start)

    async def follow(self) -> None:
        """New releases and stages count within seconds; what cannot be loaded is refused, and what served goes on serving."""
        while True:
            try:
                await self.refresh()
            except Exception as error:  # the lake may be away for a while
                log.warning("releases could not be read again: %s", str(error).splitlines()[0])
            await asyncio.sleep(FOLLOW_SECONDS)

    async def refresh(self) -> None:
        """Take over what the lake says now, and begin to start the engines that this asks for."""
        rollout = await asyncio.to_thread(read_rollout, self._lake)
        wanted = {release for release in (rollout.serving, rollout.candidate) if release}
        if rollout.previous and rollout.serving not in self._stood:  # until the new one's engines run, the one before goes on
            wanted |= {rollout.previous}
        for release in wanted - self._releases.keys():
            if time.monotonic() >= self._refused.get(release, 0.0):
                await self._take(release)
        self._releases = {release: of for release, of in self._releases.items() if release in wanted}
        self.rollout = rollout
        self._watches = {
            name: self._watches.get(name) or Watch(release.risks(), release.usual(), self._settings.seed)
            for name, release in self._releases.items()
        }
        first = {name: self._first_keys(release) for name, release in self._releases.items()}
        self._stood = {name for name in first if name in self._stood or all(map(self.engines.has, first[name]))}
        self.engines.keep({key for release in self._releases.values() for key in release.engines()})
        two = rollout.candidate in first or (rollout.serving not in self._stood and rollout.previous in self._stood)
        self.engines.most = self._settings.engines * (2 if two else 1)
        for key in [key for release in self._in_order() for key in first[release.id]][: self.engines.most]:
            self.engines.load(key)

    async def answer(self, request: Json, session: Session, draw: float, hear: Hear | None = None) -> Tried:
        """Ask the SLM of a request in chat form, if there is one. `session` says whose call it is. `draw`, from 0 to 1, decides whether the
        canary answers. `hear` is told the pieces of an answer that is begun at once, as they come, whatever comes of it in the end."""
        release = self._serving(draw)
        if release is None:
            return Tried(Decision("llm", "no_release"))
        try:
            return await self._ask(release, request, session, hear)
        except Exception as error:  # a request that is no request, or a defect here: nothing of it may cost the client its answer
            log.error("no SLM could be asked: %s at %s", type(error).__name__, traceback.extract_tb(error.__traceback__)[-1].name)
            return Tried(Decision("llm", "slm_error"))

    async def shadow(self, request: Json) -> Attempt | None:
        """What a release in shadow would have answered; None if it would not have been asked."""
        return (await self._ask(self._releases[self.rollout.candidate], request)).attempt if self.shadows else None

    @property
    def shadows(self) -> bool:
        """Whether a release is in shadow."""
        return self.rollout.stage == "shadow" and self.rollout.candidate in self._releases

    def caution(self, decision: Decision) -> float:
        """With which probability a served call is audited that was not drawn anyway: more of the first ones of a release are."""
        watch = self._watches.get(decision.release)
        return self._settings.audit_share * CAUTION if watch and watch.new else 0.0

    async def audited(self, decision: Decision, agrees: bool) -> None:
        """The LLM was asked a call that an SLM had served, and said the same or not; what a checker has passed is right either way."""
        if watch := self._watches.get(decision.release):
            await self._roll_back(decision.release, watch.audited(decision.group, agrees or decision.reason == CHECKED))

    def facts(self) -> dict[str, Json]:
        """What the releases at hand say of themselves, that in service first."""
        return {release.id: release.facts for release in self._in_order()}

    def watched(self, release: str) -> Watch | None:
        """How a release does here."""
        return self._watches.get(release)

    def close(self) -> None:
        self.engines.close()

    def _serving(self, draw: float) -> Released | None:
        if self.rollout.stage == "canary" and draw < self._settings.trial_share and self.rollout.candidate in self._stood:
            return self._releases[self.rollout.candidate]
        serving, previous = (self._releases.get(name) for name in (self.rollout.serving, self.rollout.previous))
        if previous and previous.id in self._stood and self.rollout.serving not in self._stood:
            return previous
        return serving or previous

    def _in_order(self) -> list[Released]:
        names = (self.rollout.serving, self.rollout.previous, self.rollout.candidate)
        return [self._releases[name] for name in names if name in self._releases]

    def _first_keys(self, release: Released) -> list[str]:
        """The engines that a release is loaded with; more are loaded when they are called for."""
        return list(release.engines())[: self._settings.engines]

    async def _take(self, release: str) -> None:
        written = await asyncio.to_thread(self._lake.version, RELEASE, None, release)
        try:
            if written is None:
                raise ValueError("it is not in the lake")
            self._releases[release] = await asyncio.to_thread(Released, written, self._settings)
        except Exception as error:  # whatever is wrong with it: it is refused, and what served goes on serving
            self._refused[release] = time.monotonic() + AGAIN_SECONDS
            log.error("release %s is refused: %s: %.300s", release, type(error).__name__, error)

    def _start(self, key: str) -> Model:
        release = next(of for of in self._releases.values() if key in of.engines())
        return release.start(key)

    async def _ask(self, release: Released, request: Json, session: Session | None = None, hear: Hear | None = None) -> Tried:
        ready = release.route(request)
        if isinstance(ready, Decision):
            return Tried(ready)
        if (
            session and release.id == self.rollout.serving and not ready.gold
        ):  # what a checker decides needs no promise that could be withdrawn
            await self._look_at(release, ready, session)
            if ready.group in self.rollout.withdrawn:
                return Tried(_to_llm(ready, "withdrawn"))
        began, head = time.perf_counter(), _head(ready)
        loop, begun = asyncio.get_running_loop(), []

        def heard(piece: str) -> None:  # in the engine's thread; an answer begins with its first word
            if begun or piece.strip():
                begun.append(piece)
                loop.call_soon_threadsafe(hear, head, piece)

        try:
            live = ready.at_once and hear is not None
            seconds = STREAM_SECONDS if live else self._settings.slm_seconds
            proposal = await self.engines.run(ready.key, release.propose(ready, heard) if live else release.propose(ready), seconds)
            if ready.verifier:
                proposal = await self.engines.run(ready.verifier, release.verify(ready, proposal), self._settings.slm_seconds)
            reason, score = release.verdict(ready, proposal)
        except (NotReady, CheckerError) as error:
            reason = error.reason if isinstance(error, NotReady) else "checker_failed"
            failed = _failed(ready, reason, began)
            metrics.slm_tries.labels(reason).inc()
            if failed is not None:
                await self._saw(release.id, error=True, served=False)
            return Tried(_to_llm(ready, reason), failed)
        metrics.slm_tries.labels(reason or "accepted").inc()
        await self._saw(release.id, error=False, served=not reason)
        if begun:
            proposal = replace(proposal, answer=Answer(text=proposal.text))  # text is what was said, whatever it may look like
        response = _response(head, proposal)
        attempt = Attempt(
            model=ready.model,
            response=response,
            verdict="rejected" if reason else "accepted",
            reason=reason,
            tokens=proposal.tokens,
            latency_ms=round((time.perf_counter() - began) * 1000, 1),
            samples=proposal.samples,
            score=round(score, 4),
            release=ready.release,
        )
        if reason:
            return Tried(_to_llm(ready, reason), attempt)
        why = CHECKED if ready.gold else "certified"
        return Tried(Decision("slm", why, ready.group, ready.chance, ready.release), attempt, response)

    async def _look_at(self, release: Released, ready: Ready, session: Session) -> None:
        """Withdraw what was promised of a group whose calls have changed."""
        watch = self._watches.get(release.id)
        if watch is None or ready.group in self.rollout.withdrawn or not watch.begins(ready.group, session()):
            return
        if reason := watch.strange(ready.group, release.strangeness(ready)):
            log.error("release %s: the certificate of %s is withdrawn: %s", release.id, ready.group, reason)
            await self._change(lambda rollout: rollout.without(ready.group, reason) if rollout.serving == release.id else rollout)

    async def _change(self, change: Callable[[Rollout], Rollout]) -> None:
        """Change the rollout in the lake, and follow it."""

        def write() -> None:
            before = read_rollout(self._lake)
            if (after := change(before)) != before:
                write_rollout(self._lake, after)

        await asyncio.to_thread(write)
        await self.refresh()

    async def _saw(self, release: str, error: bool, served: bool) -> None:
        if watch := self._watches.get(release):
            await self._roll_back(release, watch.tried(error, served))

    async def _roll_back(self, release: str, reason: str) -> None:
        """Away with a release that does badly, if there is a reason and it is still in service or on trial."""
        if not reason:
            return
        self._watches.pop(release)
        log.error("release %s is rolled back: %s", release, reason)
        await self._change(lambda rollout: rollout.rolled_back(reason, release))


def _to_llm(ready: Ready, reason: str) -> Decision:
    return Decision("llm", reason, ready.group, ready.chance, ready.release)


def _failed(ready: Ready, reason: str, began: float) -> Attempt | None:
    """The attempt of an engine that could not answer; None if it was not even asked."""
    if reason in ("slm_loading", "slm_failed", "slm_busy"):
        return None
    latency = round((time.perf_counter() - began) * 1000, 1)
    return Attempt(model=ready.model, verdict="error", reason=reason, latency_ms=latency, release=ready.release)


def _head(ready: Ready) -> Json:
    """How a chat completion of an SLM begins, with an id that no other one has."""
    return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time()), "model": ready.model}


def _response(head: Json, proposal: Proposal) -> Json:
    """The answer as a chat completion."""
    said = response_of(proposal.answer, head["model"])
    for call in said["choices"][0]["message"].get("tool_calls", ()):
        call["id"] = f"call_{uuid.uuid4().hex[:24]}"
    usage = {"prompt_tokens": proposal.prompt_tokens, "completion_tokens": proposal.tokens}
    usage["total_tokens"] = sum(usage.values())
    return head | said | {"usage": usage}
