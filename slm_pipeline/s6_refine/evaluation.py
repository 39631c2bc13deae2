"""From answers on a group's test split to its report: every score with n and an interval, every comparison paired.

Systems: `base` (untuned, at its best), `adapter` (the challenger), `champion` (if there is one), `teacher` (its recorded
answers) and `majority` (always names the tool that is most common in the task's training split; it has a tool score only).

Scores beside those of `scores.Grade`, each missing where it does not apply. fidelity: agreement with the teacher's recorded answer.
checked: what the user's checker says. abstained: no tool is called where tools were offered and none is due (irrelevance detection,
BFCL, Patil et al. 2025). needless: a call that was made where none is due, as a share of the calls made.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import pandas as pd

from slm_pipeline.answers import given_answer, target_answer
from slm_pipeline.checkers import Checker, CheckerError, checked_answer
from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.lake import digest
from slm_pipeline.records import Answer, Json
from slm_pipeline.scores import LEEWAY, SCORES, fidelity, grade, tool_names
from slm_pipeline.settings import Leeway, Settings

MEASURED = ["prompt_tokens", "tokens", "latency_ms"]
ALL_SCORES = (*SCORES, "fidelity", "checked", "abstained", "needless")
COLUMNS = ["id", "session_id", "task", "split", "weight", "system", "form", "answer", *MEASURED, *ALL_SCORES, "checker_error"]
AGAINST = ("base", "champion")
RIGHT = ("checked", "correct")
"""The scores that say whether an answer is right, whoever gave it; the first that was measured counts."""

FIDELITY_NOTE = (
    "Fidelity is agreement with the teacher's recorded answer, whose own is 1 by definition; correct is agreement with gold, checked is "
    "what the user's checker says. The other scores compare with the target: a correction, gold, or else what the teacher said."
)


class Completion(Protocol):
    """What a model said, and what it took."""

    text: str
    prompt_tokens: int | None
    tokens: int | None
    latency_ms: float | None


def score_answers(
    system: str,
    form: str,
    examples: pd.DataFrame,
    completions: Sequence[Completion | None],
    tasks: Mapping[str, Json],
    checkers: Mapping[str, Checker] | None = None,
    leeway: Leeway = LEEWAY,
) -> pd.DataFrame:
    """Predictions (COLUMNS) of one system: one row for each example, in order. None is an answer that never came.

    `form` is the prompt form the system was asked in. `tasks` is tasks.json of the group; `checkers` are by task.
    """
    rows = []
    for example, completion in zip(examples.to_dict("records"), completions, strict=True):
        tools, format_ = tasks[example["task"]].get("tools") or [], tasks[example["task"]].get("response_format")
        target = target_answer(example)
        given = None if completion is None else given_answer(completion.text, tools)
        outcome = json.loads(example["outcome"]) if isinstance(example["outcome"], str) else None
        checker = (checkers or {}).get(example["task"])
        rows.append(
            {key: example[key] for key in ("id", "session_id", "task", "split", "weight")}
            | {"system": system, "form": form, "answer": completion.text if completion else None}
            | {key: getattr(completion, key, None) for key in MEASURED}
            | vars(grade(target, given, tools, outcome, leeway, format_))
            | _beside(example, target, given, tools, leeway)
            | (_checked(checker, example, given, completion) if checker else {})
        )
    return _typed(pd.DataFrame(rows, columns=COLUMNS))


def score_teacher(
    examples: pd.DataFrame, tasks: Mapping[str, Json], checkers: Mapping[str, Checker] | None = None, leeway: Leeway = LEEWAY
) -> pd.DataFrame:
    """Predictions of the teacher: its recorded answers, which are the targets unless gold or a correction is known."""
    recorded = examples[examples["teacher_answer"].notna()]
    said = [_Recorded(answer) for answer in recorded["teacher_answer"]]
    return score_answers("teacher", "full", recorded, said, tasks, checkers, leeway)


def score_majority(examples: pd.DataFrame, training: pd.DataFrame) -> pd.DataFrame:
    """Predictions of naming each task's majority tool, for the examples whose target is a call."""
    counts: dict[str, Counter] = {}
    for example in training[training["form"] == "tool_call"].to_dict("records"):
        counts.setdefault(example["task"], Counter())[tool_names(target_answer(example))] += example["weight"]
    majority = {task: min(counter, key=lambda names: (-counter[names], names)) for task, counter in counts.items()}
    called = examples[examples["form"] == "tool_call"]
    names = [majority.get(task, ()) for task in called["task"]]
    right = [tool_names(target_answer(example)) == given for example, given in zip(called.to_dict("records"), names, strict=True)]
    scored = called.assign(system="majority", form="none", answer=[", ".join(given) for given in names], tool=right)
    return _typed(scored.reindex(columns=COLUMNS))


def gate_metric(examples: pd.DataFrame, checked_tasks: Collection[str] = ()) -> str:
    """What the gate compares: the users' checkers if every task has one, else whole calls where any answer is a call, else similarity.

    A checker is what its user calls right; agreement with a teacher that errs now and then only stands in for that.
    """
    if len(examples) and examples["task"].isin(set(checked_tasks)).all():
        return "checked"
    return "call" if (examples["form"] == "tool_call").any() else "similarity"


def better_form(forms: Mapping[str, pd.DataFrame], metric: str) -> str:
    """The prompt form in which the base scores best on the very test split: the strictest opponent for an adapter."""
    return max(forms, key=lambda form: _weighted(forms[form], metric))


def build_report(examples: pd.DataFrame, predictions: pd.DataFrame, settings: Settings, facts: Json) -> Json:
    """The report of a group: `systems` (scores, tokens, latency), `gain` (adapter minus base, champion, teacher, majority), `newest` (the
    same of base and champion by the gate's score, on the newest third of the calls), and `facts`.

    `facts` names what was compared: group, base, adapter, champion, and `checkers` (digest by task). Scores are weighted by traffic;
    n counts calls. `right` is the score that says what is right, if any does.
    """
    metric = gate_metric(examples, facts.get("checkers", ()))
    errors = predictions["checker_error"].dropna()
    names = dict.fromkeys(["base", "adapter", *predictions["system"]])
    systems = {name: _system(predictions[predictions["system"] == name], metric, settings) for name in names}
    gain = {
        other: {score: interval.json() for score, interval in _gains(predictions, other, metric, settings).items()}
        for other in ("base", "champion", "teacher", "majority")
        if other in systems
    }
    newest = _newest(examples, predictions)
    return {
        **facts,
        "gate_metric": metric,
        "right": next((score for score in RIGHT if systems["adapter"][score]["n"]), None),
        "checker_errors": {"n": len(errors), "first": None if errors.empty else errors.iloc[0]},
        "n": len(examples),
        "sessions": int(examples["session_id"].nunique()),
        "target_sources": {source: int(n) for source, n in sorted(examples["target_source"].value_counts().items())},
        "systems": systems,
        "gain": gain,
        "newest": {other: compare(newest, "adapter", other, metric, settings).json() for other in AGAINST if other in gain},
        "notes": [FIDELITY_NOTE],
        "scores_digest": digest(predictions.drop(columns="latency_ms").to_json(orient="records")),
    }


def _newest(examples: pd.DataFrame, predictions: pd.DataFrame) -> pd.DataFrame:
    """The predictions on the newest third of the calls."""
    ordered = examples.sort_values(["timestamp", "id"], kind="stable")["id"]
    return predictions[predictions["id"].isin(ordered.tail(-(-len(ordered) // 3)))]


def compare(predictions: pd.DataFrame, one: str, other: str, score: str, settings: Settings) -> Interval:
    """The paired difference of a score, `one` minus `other`, over the calls both answered."""
    columns = ["id", "session_id", "weight", score]
    both = predictions[predictions["system"] == one][columns].merge(predictions[predictions["system"] == other][["id", score]], on="id")
    both = both.sort_values("id")
    return paired_interval(
        both[f"{score}_x"], both[f"{score}_y"], both["session_id"], settings.bootstrap_samples, settings.seed, both["weight"]
    )


def measure(predictions: pd.DataFrame, system: str, score: str, settings: Settings) -> Interval:
    """The mean of a score of one system."""
    return _mean(predictions[predictions["system"] == system], score, settings)


def metrics(report: Json) -> dict[str, float]:
    """The report's figures under the names they bear in MLflow, Dagster and the benchmark; those that exist."""
    adapter, base = report["systems"]["adapter"], report["systems"]["base"]
    gain = report["gain"]["base"]["accuracy"]
    figures = {
        "n": gain["n"],
        "base_accuracy": base["accuracy"]["mean"],
        "adapter_accuracy": adapter["accuracy"]["mean"],
        "gain": gain["mean"],
        "gain_low": gain["low"],
        "gain_high": gain["high"],
        "tool_accuracy": adapter["tool"]["mean"],
        "tool_majority": report["systems"].get("majority", {}).get("tool", {}).get("mean"),
        "exact": adapter["exact"]["mean"],
        "valid": adapter["valid"]["mean"],
        "similarity": adapter["similarity"]["mean"],
        "correct": adapter["correct"]["mean"],
        "latency_p50_ms": adapter["latency_p50_ms"],
        **{score: adapter[score]["mean"] for score in ("arguments", "fidelity", "checked", "abstained")},
        "needless": adapter["needless"]["mean"] if adapter["abstained"]["n"] else None,
    }
    if right := report["right"]:
        against = report["gain"].get("teacher", {}).get(right, {})
        figures |= {"against_teacher": against.get("mean"), "against_teacher_low": against.get("low")}
    if general := report.get("general"):
        figures |= {"general_base": general["base"], "general_adapter": general["adapter"], "general_change": general["change"]["mean"]}
        figures |= {"general_change_low": general["change"]["low"], "general_change_high": general["change"]["high"]}
    if judge := report.get("judge"):
        figures |= {"judge": judge["score"]["mean"], "judge_unreadable": judge["unreadable"]}
    return {f"test/{name}": float(value) for name, value in figures.items() if value is not None}


def _beside(example: Mapping, target: Answer, given: Answer | None, tools: list[Json], leeway: Leeway) -> Json:
    """The scores that ask for more than target and answer; an answer that never came is neither an abstention nor a call."""
    recorded, none_due = example["teacher_answer"], target.form == "text"
    called = given is not None and given.form == "tool_call"
    return {
        "fidelity": fidelity(given, given_answer(recorded, tools), tools, leeway) if isinstance(recorded, str) else None,
        "abstained": given is not None and not called if tools and none_due else None,
        "needless": none_due if called else None,
    }


def _checked(checker: Checker, example: Mapping, given: Answer | None, completion: Completion | None) -> Json:
    """The checker's score; where it fails there is none, and the gate stays shut until it is mended."""
    if given is None:
        return {"checked": 0.0}
    try:
        return {"checked": checked_answer(checker, json.loads(example["full_messages"]), given, completion.text).score}
    except CheckerError as error:
        return {"checker_error": str(error)}


class _Recorded:
    """A recorded answer as a completion; what it took was not recorded with the example."""

    prompt_tokens = tokens = latency_ms = None

    def __init__(self, text: str):
        self.text = text


def _gains(predictions: pd.DataFrame, other: str, metric: str, settings: Settings) -> dict[str, Interval]:
    if other == "majority":
        return {"tool": compare(predictions, "adapter", other, "tool", settings)}
    if other == "teacher":
        return {score: compare(predictions, "adapter", other, score, settings) for score in RIGHT}
    paired = [score for score in ALL_SCORES if score != "needless"]  # which calls it is a share of differs between systems
    gains = {score: compare(predictions, "adapter", other, score, settings) for score in paired}
    return gains | {"accuracy": gains[metric]}


def _system(rows: pd.DataFrame, metric: str, settings: Settings) -> Json:
    scores = {score: _mean(rows, score, settings).json() for score in ALL_SCORES}
    latency = rows["latency_ms"].dropna()
    return {
        **scores,
        "accuracy": scores[metric],
        "form": rows["form"].iloc[0] if len(rows) else None,
        "n": len(rows),
        "prompt_tokens": _round(rows["prompt_tokens"].mean()),
        "completion_tokens": _round(rows["tokens"].mean()),
        "latency_p50_ms": _round(latency.quantile(0.5)),
        "latency_p95_ms": _round(latency.quantile(0.95)),
    }


def _mean(rows: pd.DataFrame, score: str, settings: Settings) -> Interval:
    return mean_interval(rows[score], rows["session_id"], settings.bootstrap_samples, settings.seed, rows["weight"])


def _weighted(rows: pd.DataFrame, score: str) -> float:
    return float((rows[score] * rows["weight"]).sum() / rows["weight"].sum())


def _round(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), 1)


def _typed(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores and measurements as floats, missing ones as NaN, so that every system's rows have one type."""
    return predictions.astype(dict.fromkeys((*ALL_SCORES, *MEASURED), "float64") | {"checker_error": "object"})
