"""Whether a task gets an adapter of its own, its group's, or none: decided by validation calls, task by task."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

ADAPTER, EXAMPLES, VERDICTS = "s5_finetune/adapter", "s3_cluster/task_examples", "s5_finetune/task_verdicts"
SETTINGS = {"trial_calls", "min_task_validation", "min_task_score", "own_group_calls"}
SETTINGS |= {"bootstrap_samples", "seed", "max_answer_tokens", "leeway"}
RULE = (
    "A task with fewer than `min_task_validation` validation calls shares its group's adapter. With at least `own_group_calls` training "
    "calls it is fine-tuned briefly alone, and gets its own adapter if that beats the group's on the same validation calls beyond noise. "
    "A task whose better adapter scores below `min_task_score` even at the upper end of the 95 % interval stays with the LLM."
)


@dataclass(frozen=True)
class Own:
    """An adapter of the task's own: its score, and the score minus that of the group's adapter, paired by call."""

    score: Interval
    gain: Interval


def verdict(calls: int, score: Interval, own: Own | None, settings: Settings) -> tuple[str, str]:
    """("own", "group" or "none", why). `calls`: of the task in the validation split; `score`: of the group's adapter on those asked;
    `own`: None if not tried."""
    if calls < settings.min_task_validation:
        return "group", f"too few validation calls to judge: {calls}, {settings.min_task_validation} needed"
    alone = own is not None and own.gain.low is not None and own.gain.low > 0
    better = own.score if alone else score
    if (most := upper(better)) < settings.min_task_score:
        return "none", f"at most {most:.1%} right, {settings.min_task_score:.0%} needed: stays with the LLM (`slm tasks exclude KEY`)"
    if alone:
        return "own", f"its own adapter beats the group's by {own.gain.mean:+.3f} [{own.gain.low:+.3f}, {own.gain.high:+.3f}]"
    if own is None:
        return "group", "good enough with its group's adapter"
    return "group", f"its own adapter is not better beyond noise: {own.gain.mean:+.3f}"


def upper(score: Interval) -> float:
    """The upper end of a score's 95 % interval, at least that of no success in so many sessions (Clopper & Pearson 1934): where all
    calls fail, a bootstrap sees no spread."""
    return max(1.0 if score.high is None else score.high, 1 - 0.025 ** (1 / score.sessions))


def judge_tasks(group: str, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact | None, bool]:
    """The verdicts on a group's tasks (verdicts.json, largest task first) and whether they are new; None without an adapter.

    The group's adapter is asked at most `trial_calls` validation calls of each task that has enough of them, once for all. `say` is told
    of every fine-tune.
    """
    lake = Lake(settings.lake)
    adapter, examples, written = lake.read(ADAPTER, group), lake.read(EXAMPLES, group), lake.read(VERDICTS, group)
    if adapter is None or examples is None:
        return None, False
    checked = [checker.digest for checker in checkers_of(examples.json("tasks"), group, settings).values()]
    inputs = digest(adapter.digest, examples.digest, checked, settings.model_dump(mode="json", include=SETTINGS))
    if written and written.inputs == inputs:
        return written, False
    rows = _judged(group, adapter, examples, settings, say)
    return lake.write(VERDICTS, group, {"verdicts": rows}, inputs), True


def _judged(group: str, adapter: Artefact, examples: Artefact, settings: Settings, say: Callable[[str], None]) -> list[Json]:
    from slm_pipeline.inference import adapter_of
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.trial import adapter_scores, drawn

    table, tasks, base = examples.table("examples"), examples.json("tasks"), ensure_base(adapter.json("training")["base"], settings)
    validation = table[table["split"] == "validation"]
    counted = validation["task"].value_counts()
    enough = validation[validation["task"].map(counted) >= settings.min_task_validation]
    asked = pd.concat([enough.head(0), *(drawn(calls, settings.trial_calls, settings.seed) for _, calls in enough.groupby("task"))])
    asked = asked.assign(score=adapter_scores(group, asked, tasks, base, adapter_of(adapter), settings))
    counts, rows = table[table["split"] == "train"]["task"].value_counts(), []
    for task in sorted(tasks, key=lambda key: (-counts.get(key, 0), key)):
        calls = asked[asked["task"] == task]
        score = mean_interval(calls["score"], calls["session_id"], settings.bootstrap_samples, settings.seed)
        large = len(tasks) > 1 and counts.get(task, 0) >= settings.own_group_calls and len(calls)
        own = _own(group, task, table[table["task"] == task], calls, tasks, base, settings, say) if large else None
        known = {"training": int(counts.get(task, 0)), "validation": int(counted.get(task, 0))}
        decided, reason = verdict(known["validation"], score, own, settings)
        row = {"task": task, "name": tasks[task]["name"], **known}
        own_figures = {"own_score": own.score.json(), "own_gain": own.gain.json()} if own else {}
        rows.append({**row, "score": asdict(score), **own_figures, "verdict": decided, "reason": reason})
    return rows


def _own(
    group: str, task: str, examples: pd.DataFrame, calls: pd.DataFrame, tasks: Json, base, settings: Settings, say: Callable[[str], None]
) -> Own:
    """A fine-tune of one task alone, with the group's configuration, compared with `calls` as the group's adapter answered them."""
    from slm_pipeline.resources import search_runs, tracking
    from slm_pipeline.s5_finetune.configuration import configuration_of
    from slm_pipeline.s5_finetune.trial import fine_tune_briefly

    configuration = configuration_of(group, settings)
    params = {"task": task, "base": base.name, "examples": int((examples["split"] == "train").sum())}
    with search_runs.search_run(settings, group, "task_verdicts", f"{tasks[task]['name']} alone", params) as run:
        tried = fine_tune_briefly(group, base, examples, calls, tasks, configuration, settings)
        samples, seed = settings.bootstrap_samples, settings.seed
        score = mean_interval(tried.scores, calls["session_id"], samples, seed)
        gain = paired_interval(tried.scores, calls["score"], calls["session_id"], samples, seed)
        tracking.log_scores(settings, run, {"best_val_loss": tried.loss, "score": score.mean, "gain": gain.mean})
    say(f"{tasks[task]['name']} alone: {score.mean:.1%} of its validation calls, {gain.mean:+.1%} against the group's adapter")
    return Own(score, gain)


def with_verdicts(rows: list[Json], lake: Lake) -> list[Json]:
    """The rows of `slm tasks` with the newest verdict on each task (None: not judged yet), which the state says as well."""
    written = [artefact for group in sorted({row["group"] for row in rows} - {None}) if (artefact := lake.read(VERDICTS, group))]
    found = {row["task"]: row for artefact in written for row in artefact.json("verdicts")}
    said = {"own": "better with its own adapter", "none": "better left to the LLM"}
    told = []
    for row in rows:
        verdict = found[row["key"]]["verdict"] if row["key"] in found else None
        told.append(row | {"verdict": verdict, "state": ", ".join(filter(None, [row["state"], said.get(verdict)]))})
    return told
