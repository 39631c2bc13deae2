"""From answers on a group's test split to its report: every score with n and an interval, every comparison paired.

Systems: `base` (untuned, at its best), `adapter` (the challenger), `champion` (if there is one), `teacher` (its recorded
answers) and `majority` (always names the tool that is most common in the task's training split; it has a tool score only).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

import pandas as pd

from slm_pipeline.answers import parse_answer
from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.lake import digest
from slm_pipeline.records import Answer, Json
from slm_pipeline.scores import SCORES, grade, tool_names
from slm_pipeline.settings import Settings

MEASURED = ["prompt_tokens", "tokens", "latency_ms"]
COLUMNS = ["id", "session_id", "task", "split", "weight", "system", "form", "answer", *MEASURED, *SCORES]
FIDELITY_NOTE = (
    "Where no gold is known, the teacher's answers are the targets, and its fidelity is 1 by definition; "
    "its correctness is measured where gold exists."
)


class Completion(Protocol):
    """What a model said, and what it took."""

    text: str
    prompt_tokens: int | None
    tokens: int | None
    latency_ms: float | None


def score_answers(
    system: str, form: str, examples: pd.DataFrame, completions: Sequence[Completion | None], tasks: Mapping[str, Json]
) -> pd.DataFrame:
    """Predictions (COLUMNS) of one system: one row for each example, in order. None is an answer that never came.

    `form` is the prompt form the system was asked in. `tasks` is tasks.json of the group.
    """
    rows = []
    for example, completion in zip(examples.to_dict("records"), completions, strict=True):
        tools = tasks[example["task"]].get("tools") or []
        target = target_answer(example)
        given = None if completion is None else given_answer(completion.text, tools)
        outcome = json.loads(example["outcome"]) if isinstance(example["outcome"], str) else None
        rows.append(
            {key: example[key] for key in ("id", "session_id", "task", "split", "weight")}
            | {"system": system, "form": form, "answer": completion.text if completion else None}
            | {key: getattr(completion, key, None) for key in MEASURED}
            | vars(grade(target, given, tools, outcome))
        )
    return _typed(pd.DataFrame(rows, columns=COLUMNS))


def score_teacher(examples: pd.DataFrame, tasks: Mapping[str, Json]) -> pd.DataFrame:
    """Predictions of the teacher: its recorded answers, which are the targets unless gold or a correction is known."""
    recorded = examples[examples["teacher_answer"].notna()]
    return score_answers("teacher", "full", recorded, [_Recorded(answer) for answer in recorded["teacher_answer"]], tasks)


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


def gate_metric(examples: pd.DataFrame) -> str:
    """What the gate compares: whole calls where any answer is a call, else text similarity."""
    return "call" if (examples["form"] == "tool_call").any() else "similarity"


def better_form(forms: Mapping[str, pd.DataFrame], metric: str) -> str:
    """The prompt form in which the base scores best on the very test split: the strictest opponent for an adapter."""
    return max(forms, key=lambda form: _weighted(forms[form], metric))


def build_report(examples: pd.DataFrame, predictions: pd.DataFrame, settings: Settings, facts: Json) -> Json:
    """The report of a group: `systems` (scores, tokens, latency), `gain` (adapter minus base, champion, majority), and `facts`.

    `facts` names what was compared: group, base, adapter, champion. Scores are weighted by traffic; n counts calls.
    """
    metric = gate_metric(examples)
    names = dict.fromkeys(["base", "adapter", *predictions["system"]])
    systems = {name: _system(predictions[predictions["system"] == name], metric, settings) for name in names}
    gain = {
        other: {score: interval.json() for score, interval in _gains(predictions, other, metric, settings).items()}
        for other in ("base", "champion", "majority")
        if other in systems
    }
    return {
        **facts,
        "gate_metric": metric,
        "n": len(examples),
        "sessions": int(examples["session_id"].nunique()),
        "target_sources": {source: int(n) for source, n in sorted(examples["target_source"].value_counts().items())},
        "systems": systems,
        "gain": gain,
        "notes": [FIDELITY_NOTE],
        "scores_digest": digest(predictions.drop(columns="latency_ms").to_json(orient="records")),
    }


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
    }
    return {f"test/{name}": float(value) for name, value in figures.items() if value is not None}


def target_answer(example: Mapping) -> Answer:
    """The target of an example; text that merely looks like a call stays text."""
    return parse_answer(example["answer"]) if example["form"] == "tool_call" else Answer(text=example["answer"])


def given_answer(text: str, tools: list[Json]) -> Answer:
    """What a model's words mean where these tools are at hand; without tools they are text, whatever they look like."""
    return parse_answer(text) if tools else Answer(text=text)


class _Recorded:
    """A recorded answer as a completion; what it took was not recorded with the example."""

    prompt_tokens = tokens = latency_ms = None

    def __init__(self, text: str):
        self.text = text


def _gains(predictions: pd.DataFrame, other: str, metric: str, settings: Settings) -> dict[str, Interval]:
    if other == "majority":
        return {"tool": compare(predictions, "adapter", other, "tool", settings)}
    gains = {score: compare(predictions, "adapter", other, score, settings) for score in SCORES}
    return gains | {"accuracy": gains[metric]}


def _system(rows: pd.DataFrame, metric: str, settings: Settings) -> Json:
    scores = {score: _mean(rows, score, settings).json() for score in SCORES}
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
    return predictions.astype(dict.fromkeys((*SCORES, *MEASURED), "float64"))
