"""Sends recorded calls through the champions and logs what happened, as a gateway would: real failures without live traffic."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from rich.progress import Progress

from slm_pipeline.answers import given_answer
from slm_pipeline.checkers import Checker, checkers_of, verdict
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import CHECKED, AgentCall, Answer, Attempt, Json, Route, ToolCall, response_answer, response_of
from slm_pipeline.resources.tracking import AdapterVersion, champion
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.importers import BadLine, read_calls
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s2_curate.curation import redaction_of
from slm_pipeline.s3_cluster.assignment import Assigner
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages
from slm_pipeline.s6_refine.evaluation import Completion
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.scores import grade
from slm_pipeline.settings import Settings


@dataclass
class Summary:
    """What a replay did: calls asked, passed and failed, by group; calls that no champion answers, by reason; bad lines."""

    passed: Counter = field(default_factory=Counter)
    failed: Counter = field(default_factory=Counter)
    reasons: Counter = field(default_factory=Counter)
    not_asked: Counter = field(default_factory=Counter)
    bad_lines: list[BadLine] = field(default_factory=list)
    logged: int = 0

    @property
    def asked(self) -> int:
        return self.passed.total() + self.failed.total()

    def __str__(self) -> str:
        lines = [f"{self.asked} calls asked: {self.passed.total()} passed, {self.failed.total()} failed; {self.logged} new in the log"]
        lines += [f"  {group}: {self.passed[group]} passed, {self.failed[group]} failed" for group in sorted(self.passed | self.failed)]
        lines += [f"  failed, {reason}: {n}" for reason, n in sorted(self.reasons.items())]
        lines += [f"  not asked, {reason}: {n}" for reason, n in sorted(self.not_asked.items())]
        return "\n".join([*lines, *(f"  line {bad.line}: {bad.reason}" for bad in self.bad_lines)])


@dataclass(frozen=True)
class Asked:
    """A recorded call on its way to a champion."""

    call: AgentCall
    task: str
    messages: list[Json]
    full_messages: list[Json]
    target: Answer


def replay_file(path: Path, settings: Settings, progress: Progress | None = None) -> Summary:
    """Ask the champions every call of `path` that belongs to them, and log each with what came of it.

    Its task's checker says whether an answer is right, else the recorded answer does. A call is logged once for each champion, however
    often it is replayed. Raises FileNotFoundError if nothing was
    clustered yet.
    """
    lake, summary, log = Lake(settings.lake), Summary(), CallLog(settings, Role.COLLECTOR)
    champions: dict[str, AdapterVersion | None] = {}
    for group, asked in sorted(_by_group(path, lake, settings, champions, summary).items()):
        examples = lake.read("s3_cluster/task_examples", group)
        completions = _ask(asked, examples, champions[group], settings, _bar(progress, group, len(asked)))
        tasks = examples.json("tasks")
        checkers = checkers_of(tasks, group, settings)
        outcomes = list(_judge(asked, completions, tasks, checkers, champions[group], settings))
        summary.logged += log.append(call for call, _ in outcomes).added
        summary.passed[group] += sum(not reason for _, reason in outcomes)
        summary.failed[group] += sum(bool(reason) for _, reason in outcomes)
        summary.reasons.update(reason for _, reason in outcomes if reason)
    return summary


def failure_reason(target: Answer, given: Answer, tools: list[Json], settings: Settings) -> str:
    """Why an SLM's answer is not used in place of `target`; empty if it is as good.

    A tool call must agree in tool and typed arguments, text be similar enough (`similarity_pass`).
    """
    score = grade(target, given, tools, leeway=settings.leeway)
    if target.form == "text":
        return "" if score.similarity >= settings.similarity_pass else "dissimilar_text"
    if score.call:
        return ""
    return "wrong_tool" if not score.tool else "wrong_arguments" if score.valid else "invalid_arguments"


def _bar(progress: Progress | None, group: str, calls: int) -> Callable[[], None]:
    if progress is None:
        return lambda: None
    task = progress.add_task(group, total=calls)
    return lambda: progress.advance(task)


def _by_group(path: Path, lake: Lake, settings: Settings, champions: dict, summary: Summary) -> dict[str, list[Asked]]:
    """The file's calls that have a champion; the others are counted in `summary`."""
    clusters = lake.read("s3_cluster/task_clusters")
    if clusters is None:
        raise FileNotFoundError("no tasks are known yet: import traffic and run `slm run` first")
    assigner, tasks = Assigner(clusters.json("clusters")), {task["key"]: task for task in clusters.json("clusters")["tasks"]}
    waiting: dict[str, list[Asked]] = {}
    for item in read_calls(path):
        if isinstance(item, BadLine):
            summary.bad_lines.append(item)
            continue
        group, asked = _prepare(item, assigner, tasks, settings)
        if group is not None and group not in champions:
            champions[group] = champion(settings, group)
        if group is None or champions[group] is None:
            summary.not_asked[asked if group is None else f"no champion in {group}"] += 1
        else:
            waiting.setdefault(group, []).append(asked)
    return waiting


def _prepare(call: AgentCall, assigner: Assigner, tasks: dict[str, Json], settings: Settings) -> tuple[str, Asked] | tuple[None, str]:
    """The group of a call and how it is asked; or None and the reason why no champion can be asked.

    Asked and judged is the redacted call, as adapters were trained on it; logged is the call as it was recorded.
    """
    target = None if call.served_by_slm else response_answer(call.response)
    if target is None:
        return None, "no recorded LLM answer"
    said = (target.text, *(c.arguments for c in target.tool_calls))
    redaction = redaction_of(call, settings, also=said)
    request = redaction.request(call.request)
    target = Answer(redaction.data(target.text), tuple(ToolCall(c.name, redaction.data(c.arguments)) for c in target.tool_calls))
    assigned = assigner.assign(request)
    if assigned.group is None:
        return None, assigned.reason or "no group"
    try:
        return assigned.group, Asked(call, assigned.task, factor(request, tasks[assigned.task]), full_messages(request), target)
    except TemplateChanged:
        return None, "template_changed"


def _ask(
    asked: list[Asked], examples: Artefact, version: AdapterVersion, settings: Settings, on_done: Callable[[], None]
) -> list[Completion]:
    from slm_pipeline.inference import COLUMN, adapter_of, ask_adapter, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base

    schemas = task_schemas(examples.json("tasks"))
    adapter = adapter_of(Lake(settings.lake).version(ADAPTER, version.group, version.lake_digest))
    messages = [json.dumps(a.messages if adapter.form == "factored" else a.full_messages) for a in asked]
    rows = pd.DataFrame({"task": [a.task for a in asked], COLUMN[adapter.form]: messages})
    base = ensure_base(version.base, settings)
    return ask_adapter(rows, schemas, base, adapter, settings, on_done)


def _judge(
    asked: list[Asked],
    completions: list[Completion],
    tasks: dict[str, Json],
    checkers: Mapping[str, Checker],
    version: AdapterVersion,
    settings: Settings,
) -> Iterator[tuple[AgentCall, str]]:
    """For each call asked, the call to log and the reason of failure ("" if it passed)."""
    release, model = f"v{version.version}", f"{version.group} v{version.version}"
    for a, completion in zip(asked, completions, strict=True):
        tools = tasks[a.task].get("tools") or []
        given = given_answer(completion.text, tools)
        right = verdict(checkers.get(a.task), a.full_messages, given, completion.text)
        reason = failure_reason(a.target, given, tools, settings) if right is None else "" if right else CHECKED
        response = response_of(given, model)
        attempt = Attempt(
            model=model,
            response=response,
            verdict="rejected" if reason else "accepted",
            reason=reason,
            tokens=completion.tokens,
            latency_ms=completion.latency_ms,
        )
        route = Route(served_by="llm" if reason else "slm", group=version.group, release=release, reason=reason, attempts=[attempt])
        yield _logged(a.call, version, response if not reason else a.call.response, route), reason


def _logged(call: AgentCall, version: AdapterVersion, response: Json, route: Route) -> AgentCall:
    """The recorded call as it happened now; its id is the same for every replay to the same adapter."""
    outcome = {} if call.outcome is None else {"outcome": call.outcome}
    return AgentCall(
        id=f"replay-{digest(call.id, version.adapter_digest)}",
        timestamp=time.time(),
        agent=call.agent,
        session_id=call.session_id,
        client_id=call.client_id,
        request=call.request,
        response=response,
        route=route,
        **outcome,
    )
