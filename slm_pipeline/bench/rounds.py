"""`slm bench rounds`: train on the first traffic, serve the next through the gateway, learn from its failures, serve the rest."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import httpx2
import pandas as pd

from slm_pipeline.bench import _gold_steps
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._processes import running
from slm_pipeline.bench._step_lines import is_step_traffic, legal_moves, valid_lines
from slm_pipeline.bench._traffic import calls_of, files_of, refresh, trained
from slm_pipeline.gateway.slm import FOLLOW_SECONDS
from slm_pipeline.intervals import mean_interval, paired_interval
from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall, Json, response_answer
from slm_pipeline.s6_refine.release import promised
from slm_pipeline.s6_refine.rollout import Rollout, read_rollout, write_rollout
from slm_pipeline.s6_refine.routing import ROUTER
from slm_pipeline.scores import is_correct, same_answer
from slm_pipeline.settings import Settings, Upstream
from slm_pipeline.up import free_port

if TYPE_CHECKING:
    from slm_pipeline.run import Loop

PARTS = (0.4, 0.7, 1.0)
"""Of the sessions, in the order of their first call: trained on, served before, served after the retraining."""
ALPHA, DELTA, SAMPLES = 0.20, 0.10, 8


def measure(settings: Settings, data: Path | None) -> Json:
    """What SLMs serve of given traffic, or the sample, before and after a round of learning: `slm_share_before`, `slm_share_after`
    (of all calls of that part), `wrong_served_before`, `wrong_served_after` (of those), with intervals that resample sessions,
    `escalated_…`, and calls by who answered and why (`reasons_…`). `failed_groups`: those that the sensor retrains. `slm_share_gain`: what
    the round brought on the last part, which the release before it is asked as well, call by call. `data`: a file or a folder of
    `*.jsonl*` files.

    Where a checker is gold, the last part is served once more by the same adapters without it, so that only a certificate lets an SLM
    serve: `release_without_checker`, `slm_share_without_checker` and so on, as for the other parts.

    The LLM is the recorded one, behind the real gateway. alpha 0.20, delta 0.10, at most eight samples; audits off, for there is no LLM to
    pay. A release goes into full service at once. Traffic of arithmetic steps has a checker that is gold: right is an answer all of whose
    lines are legal, with three different moves or more; of other traffic gold says what is right, else the recorded answer. `settings`:
    those of LEARNING that are not the usual ones.
    """
    from slm_pipeline.s1_collect.sample import sample_traffic

    files = [sample_traffic(settings)] if data is None else files_of(data)
    with temporary_home(settings) as fresh, _environment(fresh):
        figures = _measure(fresh.model_copy(update=VALUES), files)
    unusual = settings.model_dump(mode="json", include=LEARNING, exclude_defaults=True)
    return figures | {"seed": settings.seed, "alpha": ALPHA, "delta": DELTA, "settings": unusual}


LEARNING = {"base_models", "training_method", "lora_rank", "lora_upper_layers", "learning_rate", "epochs", "patience", "max_answer_tokens"}
VALUES = {"alpha": ALPHA, "delta": DELTA, "max_samples": SAMPLES, "audit_share": 0.0, "slm_seconds": 120.0}
"""Time is measured, not limited: how fast this machine is shall not decide what is served."""


@contextmanager
def _environment(settings: Settings) -> Iterator[None]:
    """The assets and the gateway read their settings themselves."""
    names = {f"SLM_{name.upper()}": str(value) for name, value in VALUES.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _measure(settings: Settings, files: Sequence[Path]) -> Json:
    calls = calls_of(files)
    parts = _parts(calls)
    steps = is_step_traffic(calls)
    loop = _trained(settings, parts[0])
    figures: Json = {"n": len(calls), "sessions": len({call.session_id for call in calls}), "gold_checker": steps}
    figures |= _figures("before", promised(loop.lake), _served(settings, files, parts[1], steps), settings)
    first = read_rollout(loop.lake).serving
    figures["failed_groups"] = _learn(settings, loop)
    after = without = _served(settings, files, parts[2], steps)
    figures |= _figures("after", promised(loop.lake), after, settings)
    if read_rollout(loop.lake).serving != first:
        write_rollout(loop.lake, Rollout(serving=first))
        without = _served(settings, files, parts[2], steps)
    gain = paired_interval(after["by_slm"], without["by_slm"], after["session_id"], settings.bootstrap_samples, settings.seed)
    figures |= _interval("slm_share_gain", gain)
    if steps:
        _forget_checkers(settings, loop)
        figures |= _figures("without_checker", promised(loop.lake), _served(settings, files, parts[2], steps), settings)
    return figures


def _parts(calls: Sequence[AgentCall]) -> list[list[AgentCall]]:
    first: dict[str, float] = {}
    for call in sorted(calls, key=lambda call: call.timestamp):
        first.setdefault(call.session_id, call.timestamp)
    order = {session: i for i, session in enumerate(first)}
    ends = [round(share * len(order)) for share in PARTS]
    return [[call for call in calls if start <= order[call.session_id] < end] for start, end in zip([0, *ends], ends, strict=False)]


def _trained(settings: Settings, calls: Sequence[AgentCall]) -> "Loop":
    """The loop on the first part, and its release in service."""
    part = settings.home / "first.jsonl"
    part.write_text("".join(call.to_json() + "\n" for call in calls))
    loop = trained(settings, [part])
    _serve(loop.lake)
    return loop


def _serve(lake: Lake) -> None:
    """Put the newest release into service."""
    rollout = read_rollout(lake)
    if rollout.candidate:
        write_rollout(lake, rollout.promoted("bench").promoted("bench"))


def _learn(settings: Settings, loop: "Loop") -> list[str]:
    """What sensors and schedules do until the next part: refresh the days that received calls, look for tasks anew, retrain the groups
    that failed often enough and those that have new examples, and release anew. The groups that failed often enough."""
    from slm_pipeline.automation.retrain import groups_due
    from slm_pipeline.automation.state import failure_totals, failures_seen, group_keys

    refresh(settings, loop)
    loop.execute("recluster")
    refresh(settings, loop, ["task_assignments"])
    loop.execute("report")
    due = groups_due(failure_totals(loop.lake), failures_seen(loop.lake), {}, (), settings.failure_threshold)
    print(f"failed often enough to be retrained: {', '.join(due) or 'none'}", file=sys.stderr, flush=True)
    for group in group_keys(loop.lake):
        loop.execute("retrain_group", partition=group)
    loop.execute("report")
    _serve(loop.lake)
    return list(due)


def _forget_checkers(settings: Settings, loop: "Loop") -> None:
    """Take the checkers away, and put the release into service that the same adapters get without them."""
    for file in settings.checkers.glob("*.py"):
        file.unlink()
    for group in loop.lake.partitions(ROUTER):
        loop.execute("retrain_group", ["router_model"], partition=group)
    loop.execute("report")
    _serve(loop.lake)


def _served(settings: Settings, files: Sequence[Path], calls: Sequence[AgentCall], steps: bool) -> pd.DataFrame:
    """Ask the gateway every call, and judge what SLMs said: a row for each, in order of time, with session_id, by_slm and wrong (0 or 1;
    wrong is missing where the LLM answered), reason, and what SLMs spent: samples, tokens, ms (missing where none was asked)."""
    upstream_port, port = free_port("127.0.0.1"), free_port("127.0.0.1")
    upstream = Upstream(name="recorded", base_url=f"http://127.0.0.1:{upstream_port}/v1", stream_usage=False)
    environment = {"SLM_UPSTREAMS": json.dumps([upstream.model_dump(mode="json")]), "SLM_GATEWAY_PORT": str(port)}
    url, rows = f"http://127.0.0.1:{port}", {}
    with (
        running(["-m", "slm_pipeline.bench._recorded_llm", str(upstream_port), *map(str, files)], f"http://127.0.0.1:{upstream_port}", {}),
        running(["-m", "slm_pipeline.cli", "serve"], f"{url}/healthz", environment),
        httpx2.Client(base_url=url, timeout=120) as client,
    ):
        _await_engines(client)
        for number, call in enumerate(sorted(calls, key=lambda call: call.timestamp), 1):
            headers = {"x-slm-agent": call.agent, "x-slm-session": call.session_id}
            answer = client.post("/v1/chat/completions", json=call.request, headers=headers)
            answer.raise_for_status()
            by_slm = answer.headers["x-slm-route"] == "slm"
            wrong = float(not _right(call, answer.json(), steps, settings)) if by_slm else None
            rows[answer.headers["x-slm-id"]] = {"session_id": call.session_id, "by_slm": float(by_slm), "wrong": wrong}
            if number % 20 == 0:
                share = fmean(row["by_slm"] for row in rows.values())
                print(f"{number} of {len(calls)} calls, {share:.0%} by SLMs", file=sys.stderr, flush=True)
    for call in _logged(settings):
        if call.id in rows:
            tried = next((attempt for attempt in call.route.attempts if attempt.role == "slm"), None)
            spent = {"samples": tried.samples, "tokens": tried.tokens, "ms": tried.latency_ms} if tried and tried.response else {}
            rows[call.id] |= {"reason": f"{call.route.served_by}: {call.route.reason}", **spent}
    return pd.DataFrame(rows.values()).reindex(columns=["session_id", "by_slm", "wrong", "reason", "samples", "tokens", "ms"])


def _logged(settings: Settings) -> Iterator[AgentCall]:
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role

    log = CallLog(settings, Role.PIPELINE)
    for day in log.days():
        yield from log.read(day)


def _figures(part: str, promises: list[str], rows: pd.DataFrame, settings: Settings) -> Json:
    drawn = rows["session_id"], settings.bootstrap_samples, settings.seed
    asked = rows["samples"].notna()
    return {
        f"release_{part}": promises,
        f"n_{part}": len(rows),
        **_interval(f"slm_share_{part}", mean_interval(rows["by_slm"], *drawn)),
        f"escalated_{part}": 1 - float(rows["by_slm"].mean()),
        **_interval(f"wrong_served_{part}", mean_interval(rows["wrong"], *drawn)),
        f"reasons_{part}": {str(reason): int(n) for reason, n in rows["reason"].value_counts().items()},
        f"asked_{part}": int(asked.sum()),
        f"samples_{part}": round(float(rows["samples"][asked].mean()), 2) if asked.any() else None,
        f"slm_tokens_{part}": int(rows["tokens"].sum()),
        f"slm_seconds_{part}": round(float(rows["ms"].sum()) / 1000, 1),
    }


def _await_engines(client: httpx2.Client) -> None:
    """Wait until the engines of the release run; without a release there are none."""
    time.sleep(FOLLOW_SECONDS + 1)
    deadline = time.monotonic() + 120
    while "slm_engines_loading 0.0" not in client.get("/metrics").text and time.monotonic() < deadline:
        time.sleep(0.5)


def _right(call: AgentCall, response: Json, steps: bool, settings: Settings) -> bool:
    given, tools = response_answer(response), call.request.get("tools") or []
    if given is None:
        return False
    if steps:
        asked = _gold_steps.numbers(call.request["messages"])
        valid, lines = valid_lines(asked, given.text)
        return valid == lines and len(legal_moves(asked, given.text)) >= _gold_steps.MOVES
    outcome = call.outcome or {}
    if isinstance(outcome.get("gold"), dict):
        gold = response_answer({"choices": [{"message": outcome["gold"]}]})
        return is_correct(given, gold, outcome, tools, settings.leeway)
    return same_answer(response_answer(call.response), given, tools, settings.leeway, settings.similarity_pass)


def _interval(name: str, interval) -> Json:
    return {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
