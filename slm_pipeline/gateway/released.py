"""A release in memory: whether one of its SLMs is to be asked a call, how, and whether its answer is to be served."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from slm_pipeline.answering import KNOWN, Asked, Proposal, propose
from slm_pipeline.checkers import Checker
from slm_pipeline.gateway.decision import Decision
from slm_pipeline.inference import Adapter, adapter_of, adapter_prompt, serving_model
from slm_pipeline.lake import Artefact
from slm_pipeline.records import CHECKED, UNLIKELY, Json
from slm_pipeline.resources.engine import Model
from slm_pipeline.resources.slm_server import served_at
from slm_pipeline.router.models import Gatekeeper
from slm_pipeline.router.strangeness import Strangeness
from slm_pipeline.router.text import router_text
from slm_pipeline.s3_cluster.assignment import Assigner
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s6_refine.certification import disagreement
from slm_pipeline.s6_refine.release import adapter_files
from slm_pipeline.s6_refine.routing import gatekeeper_of
from slm_pipeline.s6_refine.verifier_model import VERIFIER, says_right, verifier_engine
from slm_pipeline.settings import Settings

UNSUPPORTED = {
    "n": (None, 1),
    "logprobs": (None, False),
    "top_logprobs": (None, 0),
    "logit_bias": (None, {}),
    "audio": (None,),
    "modalities": (None, ["text"]),
    "prediction": (None,),
    "functions": (None, []),
    "function_call": (None, "auto", "none"),
    "tool_choice": (None, "auto"),
}
"""Options of a request that only the LLM knows what to do with, and the values that ask for nothing unusual."""
_FITS = KNOWN.index("fits")
USUAL = (None, 1, False, 0, [], {}, ["text"], "auto")


@dataclass(frozen=True)
class Ready:
    """A call that an SLM is asked: `key` of its engine, its prompt, how its answer is judged. chance: that it is right. verifier: key of
    the engine that is asked whether the answer to `messages` is right; None without one. at_once: the router alone decides, and what the
    engine writes may be sent as it comes."""

    release: str
    group: str
    task: str
    key: str
    model: str
    prompt: str
    text: str
    schema: Json | None
    tools: tuple
    asked: Asked
    chance: float
    threshold: float | None
    gold: bool
    verifier: str | None
    messages: list[Json]
    at_once: bool


class Released:
    """What `s6_refine/release` holds, checked and ready. Raises ValueError, KeyError or OSError if it is damaged."""

    def __init__(self, written: Artefact, settings: Settings):
        self.id, self.facts, self._settings = written.digest, written.json("release"), settings
        adapters = {group: adapter_files(self.facts, group, written.lake) for group in self.facts["groups"]}
        verifiers = {
            group: written.lake.version(VERIFIER, group, of["verifier"]) for group, of in self.facts["groups"].items() if of["verifier"]
        }
        for artefact in (written, *adapters.values(), *verifiers.values()):
            if artefact is None or not artefact.intact():
                raise ValueError("a file is missing, or is not the one that was released (checksum)")
        clusters = written.json("clusters")
        self._tasks = {task["key"]: task for task in clusters["tasks"]}
        self._assigner = Assigner(clusters)
        self._keepers: dict[str, Gatekeeper] = {}
        self._strangeness: dict[str, Strangeness] = {}
        self._adapters: dict[str, Adapter] = {}
        self._verifiers = {group: verifier.local() for group, verifier in verifiers.items()}
        self._bases: dict[str, BaseFiles] = {}
        for group, of in self.facts["groups"].items():
            self._keepers[group] = gatekeeper_of(written, of["worth"], f"{group}.")
            self._strangeness[group] = Strangeness.load(written.bytes(f"{group}.strangeness.npz"))
            self._adapters[group] = adapter_of(adapters[group])
            self._bases[group] = ensure_base(of["base"], settings)

    def engines(self) -> dict[str, str]:
        """By the key of an engine, the group that it answers or verifies; only of groups that are served at all."""
        served = [(group, of) for group, of in self.facts["groups"].items() if any(map(_ever, of["tasks"].values()))]
        return {key: group for group, of in served for key in (_key(group, of), _verifier_key(group, of)) if key}

    def risks(self) -> dict[str, float]:
        """By group, how often a served answer may be another one than the LLM's."""
        return {group: disagreement(of["certificates"], self.facts["alpha"]) for group, of in self.facts["groups"].items()}

    def strangeness(self, ready: Ready) -> float:
        """How unlike the calls that the group's router learned from a call is, from 0 to 1."""
        return float(self._strangeness[ready.group].of([ready.text])[0])

    def usual(self) -> dict[str, list[float]]:
        """By group, the strangeness of the calls that its calibration sessions began with."""
        return {group: of["strangeness"] for group, of in self.facts["groups"].items()}

    def start(self, key: str) -> Model:
        """The engine of a key, once it has answered; blocks. Raises RuntimeError that says why it cannot."""
        group = self.engines()[key]
        of, base = self.facts["groups"][group], self._bases[group]
        if key == _verifier_key(group, of):
            engine: Model = verifier_engine(self._verifiers[group], base, self._settings)
        else:
            engine = serving_model(group, of["adapter"], self._adapters[group].folder, base, self._settings)
        engine.answer("?", None, 1)
        return engine

    def route(self, request: Json) -> Ready | Decision:
        """How a request in chat form is asked; or that it goes to the LLM, and why."""
        if odd := next((name for name, usual in UNSUPPORTED.items() if request.get(name) not in usual), None):
            return Decision("llm", f"unsupported_{odd}", release=self.id)
        assigned = self._assigner.assign(request)
        if assigned.task is None:
            return Decision("llm", assigned.reason, release=self.id)
        group = assigned.group
        of = self.facts["groups"].get(group)
        if of is None or assigned.task not in of["tasks"]:
            return Decision("llm", assigned.reason or "not_released", group, release=self.id)
        if of.get("server", "") != served_at(group, self._settings):  # what was measured is another engine than the one that would answer
            return Decision("llm", "engine_changed", group, release=self.id)
        task = of["tasks"][assigned.task]
        if not _ever(task):
            return Decision("llm", "not_certified", group, release=self.id)
        try:
            messages, full = factor(request, self._tasks[assigned.task]), full_messages(request)
        except TemplateChanged:
            return Decision("llm", "template_changed", group, release=self.id)
        if not any(message["content"].strip() for message in messages[1:]):
            return Decision("llm", "nothing_asked", group, release=self.id)
        text = router_text(messages)
        chance = float(self._keepers[group].chance([text])[0])
        if chance < (task["threshold"] if task["at_once"] else self._keepers[group].worth):
            return Decision("llm", UNLIKELY, group, chance, self.id)
        adapter, base = self._adapters[group], self._bases[group]
        messages = messages if adapter.form == "factored" else full
        checker = Checker(Path(task["checker"][0]), task["checker"][1]) if task["checker"] else None
        return Ready(
            self.id,
            group,
            assigned.task,
            _key(group, of),
            f"{group} v{of['version']}",
            adapter_prompt(messages, base.folder, self._settings),
            text,
            task["schema"],
            tuple(adapter.tools.get(assigned.task, ())),
            Asked(full, self._tasks[assigned.task].get("tools") or [], checker),
            chance,
            task["threshold"],
            task["gold"],
            None if task["gold"] or task["at_once"] else _verifier_key(group, of),
            messages,
            task["at_once"],
        )

    def propose(self, ready: Ready, heard: Callable[[str], None] = lambda piece: None) -> Callable[[Model], Proposal]:
        """What an engine is to do for a call; `heard` is told the pieces of an answer that is begun at once."""
        settings = self._settings

        def work(engine: Model) -> Proposal:
            def ask(how):
                if ready.at_once:
                    return engine.say(ready.prompt, settings.max_answer_tokens, heard)
                return engine.answer(ready.prompt, ready.schema, settings.max_answer_tokens, ready.tools, how)

            return propose(ask, ready.asked, 1 if ready.at_once else settings.max_samples, settings.leeway, settings.seed)

        return work

    def verify(self, ready: Ready, proposal: Proposal) -> Callable[[Model], Proposal]:
        """What a verifier's engine is to do with an answer."""
        asked = ready.messages, proposal.text, self._bases[ready.group], self._settings
        return lambda engine: replace(proposal, verified=says_right(engine, *asked))

    def verdict(self, ready: Ready, proposal: Proposal) -> tuple[str, float]:
        """Why an SLM's answer is not to be served, "" if it is; and the verifier's score."""
        known = proposal.known(ready.asked)
        score = float(self._keepers[ready.group].scores([ready.text], [proposal.text], known[None])[0])
        if ready.at_once:
            return "" if proposal.text.strip() else "empty_answer", ready.chance
        if ready.gold:
            return "" if proposal.passed else CHECKED, score
        if not proposal.ended:
            return "broke_off", score
        if not proposal.text.strip():
            return "empty_answer", score
        if proposal.answer.tool_calls and known[_FITS] != 1:
            return "invalid_arguments", score
        return "" if score >= ready.threshold else "verifier", score


def _ever(task: Json) -> bool:
    """Whether any answer to calls of a task is served."""
    return task["gold"] or task["threshold"] is not None


def _key(group: str, of: Json) -> str:
    return f"{group}:{of['adapter']}:{of['base']}"


def _verifier_key(group: str, of: Json) -> str | None:
    return f"{group}:{of['verifier']}:{of['base']}:verifier" if of["verifier"] else None
