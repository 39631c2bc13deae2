"""How a group's score on validation calls grows with its training examples, and how many more would reach what the gate asks for.

Nothing of the test split is looked at: fine-tunes on nested parts of the training sessions are asked validation calls.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.intervals import Interval, mean_interval, paired_interval
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.power_law import PowerLaw, fit_power_law
from slm_pipeline.settings import Settings

if TYPE_CHECKING:
    from slm_pipeline.s5_finetune.configuration import Configuration
    from slm_pipeline.s5_finetune.dataset import Dataset

ADAPTER, EXAMPLES, CURVE = "s5_finetune/adapter", "s3_cluster/task_examples", "s5_finetune/learning_curve"
FRACTIONS = (1 / 8, 1 / 4, 1 / 2, 1)
SETTINGS = {
    "trial_calls",
    "bootstrap_samples",
    "seed",
    "max_prompt_tokens",
    "base_prompt_tokens",
    "max_answer_tokens",
    "few_shot",
    "leeway",
}
REFITS = 200  # of draws of validation sessions
TOO_FAR = 100  # times today's examples: a fit through points of one decade says nothing about that


def gate_need(own: Sequence[float], opponent: Sequence[float], sessions: Sequence[str], settings: Settings) -> float | None:
    """The score at which an adapter would beat the opponent beyond noise: the opponent's, and the half width of their paired 95 %
    interval on these calls. None with calls of one session only."""
    gap = paired_interval(own, opponent, sessions, settings.bootstrap_samples, settings.seed)
    return None if gap.low is None else float(np.mean(opponent)) + gap.mean - gap.low


def examples_needed(sizes: Sequence[int], errors: Sequence[float], need: float) -> float:
    """The number of examples at which the law through `errors` (1 - score, by size) reaches the score `need`; inf if it never does."""
    found = fit_power_law(sizes, errors).reaches(1 - need)
    return float("inf") if found is None or found > TOO_FAR * max(sizes) else found


def more_examples(sizes: Sequence[int], scores: np.ndarray, sessions: Sequence[str], need: float, seed: int) -> Json:
    """How many more than the largest of `sizes` are needed, with a 95 % interval from draws of sessions: mean, low, high; None stands for
    out of reach. `scores` (sizes, calls)."""
    codes, names = pd.factorize(np.asarray(list(sessions), dtype=object), sort=True)
    sums = np.stack([np.bincount(codes, row) for row in scores])
    counts = np.bincount(codes)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=REFITS)
    means = (drawn @ sums.T) / (drawn @ counts)[:, None]
    needed = [examples_needed(sizes, 1 - row, need) for row in means]
    low, high = np.quantile(needed, (0.025, 0.975), method="inverted_cdf")
    found = {"mean": examples_needed(sizes, 1 - scores.mean(axis=1), need), "low": float(low), "high": float(high)}
    return {key: None if value == float("inf") else max(0, ceil(value) - max(sizes)) for key, value in found.items()}


def draw_curve(group: str, settings: Settings, say: Callable[[str], None]) -> tuple[Artefact | None, bool]:
    """The group's curve (curve.json) and whether it is new; None without an adapter. `say` is told of every fine-tune."""
    from slm_pipeline.resources import tracking
    from slm_pipeline.s5_finetune.configuration import configuration_of

    lake = Lake(settings.lake)
    adapter, examples, written = lake.read(ADAPTER, group), lake.read(EXAMPLES, group), lake.read(CURVE, group)
    if adapter is None or examples is None:
        return None, False
    champion = tracking.champion(settings, group)
    rival = champion.lake_digest if champion and champion.lake_digest != adapter.digest else None
    configuration = configuration_of(group, settings)
    checked = [checker.digest for checker in checkers_of(examples.json("tasks"), group, settings).values()]
    used = settings.model_dump(mode="json", include=SETTINGS)
    inputs = digest(adapter.digest, examples.digest, rival, checked, configuration.json(), used)
    if written and written.inputs == inputs:
        return written, False
    return lake.write(CURVE, group, {"curve": _curve(group, adapter, examples, rival, settings, say)}, inputs), True


def _curve(group: str, adapter: Artefact, examples: Artefact, rival: str | None, settings: Settings, say: Callable[[str], None]) -> Json:
    """curve.json: `points`, `opponent`, `need` (a score), `error` and `loss` (power laws), `more` (examples), `verdict`."""
    from slm_pipeline.s5_finetune.trial import drawn

    table, tasks = examples.table("examples"), examples.json("tasks")
    asked = drawn(table[table["split"] == "validation"], settings.trial_calls, settings.seed)
    points, scores = _points(group, adapter, table, asked, tasks, settings, say)
    opponent = _opponent_scores(group, rival, adapter, table, asked, tasks, settings)
    need = gate_need(scores[-1], opponent, asked["session_id"], settings)
    sizes = [point["examples"] for point in points]
    more = more_examples(sizes, np.array(scores), asked["session_id"], need, settings.seed) if need is not None else None
    laws = {
        "error": asdict(fit_power_law(sizes, [1 - np.mean(row) for row in scores])),
        "loss": asdict(fit_power_law(sizes, [point["loss"] for point in points])),
    }
    rated = {"name": "champion" if rival else "base, few-shot", "score": _interval(opponent, asked, settings)}
    verdict = told(sizes[-1], float(np.mean(scores[-1])), need, more, PowerLaw(**laws["error"]))
    return {"points": points, "opponent": rated, "need": need, **laws, "more": more, "verdict": verdict}


def told(examples: int, score: float, need: float | None, more: Json | None, error: PowerLaw) -> str:
    """What the curve says, in a sentence."""
    if need is None:
        return "All validation calls are of one session: what the gate needs cannot be told."
    if score >= need:
        return f"The gate's need, {need:.1%} of validation calls, is reached with {examples:,} examples: {score:.1%}."
    if more["mean"] is None:
        level = f"it levels off at {1 - error.a:.1%}" if 1 - error.a < need else f"more than {TOO_FAR} times as many would be needed"
        return f"The gate's need, {need:.1%} of validation calls, is not reachable by the fit: {level}."
    high = f"{more['high']:,}" if more["high"] is not None else "out of reach"
    return f"About {more['mean']:,} more examples [{more['low']:,}, {high}] would reach the gate's need, {need:.1%} of validation calls."


def _points(
    group: str, adapter: Artefact, table: pd.DataFrame, asked: pd.DataFrame, tasks: Json, settings: Settings, say: Callable[[str], None]
) -> tuple[list[Json], list[list[float]]]:
    """A point for each of FRACTIONS, and the scores of its asked calls; all of the examples are the adapter's own training, if it was
    trained on these."""
    from slm_pipeline.inference import adapter_of
    from slm_pipeline.resources import search_runs, tracking
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import configuration_of
    from slm_pipeline.s5_finetune.trial import adapter_scores, dataset_of, fine_tune_briefly, whole_sessions

    record, configuration = adapter.json("training"), configuration_of(group, settings)
    base = ensure_base(record["base"], settings)
    training, validation = (table[table["split"] == split] for split in ("train", "validation"))
    dataset = dataset_of(group, base, table, tasks, configuration.prompt, settings)
    points, scores = [], []
    with search_runs.search_run(settings, group, "learning_curve", "learning curve", {"base": base.name}) as parent:
        for fraction in FRACTIONS:
            part = whole_sessions(training, ceil(fraction * len(training)), settings.seed)
            params = {"fraction": fraction, "examples": len(part)}
            with search_runs.search_run(settings, group, "learning_curve", f"{len(part)} examples", params, parent) as run:
                began = monotonic()
                if len(part) == len(training) and _is_trained_so(record, dataset, configuration):
                    size, loss = record["examples"], record["best_loss"]
                    found = adapter_scores(group, asked, tasks, base, adapter_of(adapter), settings)
                else:
                    tried = fine_tune_briefly(group, base, pd.concat([part, validation]), asked, tasks, configuration, settings)
                    size, loss, found = tried.examples, tried.loss, tried.scores
                score = _interval(found, asked, settings)
                points.append({"fraction": fraction, "examples": size, "loss": loss, "score": score})
                scores.append(found)
                tracking.log_scores(settings, run, {"best_val_loss": loss, "score": score["mean"], "seconds": monotonic() - began})
            say(f"{size} examples: validation loss {loss:.4f}, {score['mean']:.1%} of {score['n']} validation calls")
    return points, scores


def _is_trained_so(record: Json, dataset: "Dataset", configuration: "Configuration") -> bool:
    same = all(record["params"].get(name) == str(value) for name, value in configuration.json().items())
    return same and record["dataset_digest"] == dataset.digest


def _opponent_scores(
    group: str, rival: str | None, adapter: Artefact, table: pd.DataFrame, asked: pd.DataFrame, tasks: Json, settings: Settings
) -> list[float]:
    """Of the champion that the adapter has to beat; without one, of the base with examples in its prompt."""
    from slm_pipeline.inference import adapter_of, ask_base, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.trial import adapter_scores, scores

    if rival:
        files = adapter.lake.version(ADAPTER, group, rival)
        base = ensure_base(files.json("training")["base"], settings)
        return adapter_scores(group, asked, tasks, base, adapter_of(files), settings)
    base = ensure_base(adapter.json("training")["base"], settings)
    said = ask_base(asked, table[table["split"] == "train"], task_schemas(tasks), base, "factored", settings)
    return scores(group, asked, said, tasks, settings)


def _interval(scores: Sequence[float], asked: pd.DataFrame, settings: Settings) -> Json:
    found: Interval = mean_interval(scores, asked["session_id"], settings.bootstrap_samples, settings.seed)
    return found.json()
