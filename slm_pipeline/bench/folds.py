"""`slm bench folds`: proposed arithmetic steps, every call asked of an SLM that was trained on the other sessions' calls."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from slm_pipeline.bench import _step_checker
from slm_pipeline.bench._cross_validation import FOLDS, Fold, ask_trained, folds
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._step_lines import legal_moves, valid_lines
from slm_pipeline.checkers import Checker
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
SYSTEMS = {"plain": (False, False), "calculator": (True, False), "checked": (True, True)}
"""By name: whether the SLM is granted the calculator, and whether a checker took the bad lines out of what it is trained on."""


def measure(settings: Settings, data: Path | None) -> Json:
    """Shares of legal lines, and distinct legal moves per call, of the teacher and of three SLMs over all calls of `data`.

    `data`: a file or folder of calls that propose steps ("2 + 8 = 10 (left: 8 10 14)"). Folds are drawn by session; a call that S3
    thinned out, or that asks what the fold asks too, is asked but not trained on. Differences are paired, intervals resample
    sessions. What was answered is kept in `<home>/bench`, so that a measurement that was stopped goes on. Says on standard error how
    far it is.
    """
    if data is None:
        raise ValueError("`slm bench folds` needs --data: a file or folder of calls that propose arithmetic steps")
    from slm_pipeline.bench._traffic import all_rows, collected, recorded

    with temporary_home(settings) as fresh:
        lake = collected(fresh, data)
        (group,) = lake.partitions(EXAMPLES)
        found = lake.read(EXAMPLES, group)
        rows, worth = all_rows(found)
        parted = list(folds(rows, rows["session_id"], worth, settings.seed))
        answers = {name: _answers(name, parted, found.json("tasks"), fresh, settings.home / "bench") for name in SYSTEMS}
    said = {name: rows["id"].map(of) for name, of in answers.items()} | {"teacher": rows["answer"]}
    counted = recorded(rows)
    return _figures(counted.reset_index(drop=True), {name: of[counted.index].reset_index(drop=True) for name, of in said.items()}, settings)


def _answers(name: str, parted: list[Fold], tasks: Json, settings: Settings, kept: Path) -> dict[str, str]:
    """What the SLM `name` of each fold answers, by the call's id."""
    granted, checked = SYSTEMS[name]
    file = Path(_step_checker.__file__)
    tools = dict.fromkeys(tasks, ("calculator",)) if granted else {}
    checkers = dict.fromkeys(tasks, Checker(file, file.read_text())) if checked else {}
    answers = {}
    for fold in parted:
        said = ask_trained(name, fold, tasks, settings, kept, tools, checkers)
        answers |= {id_: completion.text for id_, completion in zip(fold.asked["id"], said, strict=True)}
    return answers


def _figures(rows: pd.DataFrame, answers: dict[str, pd.Series], settings: Settings) -> Json:
    prompts = rows["messages"].map(lambda messages: json.loads(messages)[-1]["content"])
    counts = {}
    for name, said in answers.items():
        pairs = list(zip(prompts, said, strict=True))
        valid = pd.DataFrame(
            [(*valid_lines(*pair), len(legal_moves(*pair)), 1) for pair in pairs], columns=["valid", "lines", "moves", "calls"]
        )
        counts[name] = valid.groupby(rows["session_id"]).sum().to_numpy(float)
    draws = np.random.default_rng(settings.seed)
    sessions = len(counts["teacher"])
    samples = draws.integers(0, sessions, (settings.bootstrap_samples, sessions))
    figures: Json = {"n": len(rows), "seed": settings.seed, "sessions": sessions, "folds": FOLDS}
    for name, of in counts.items():
        share, moves = (_ratios(of, samples, *columns) for columns in ((0, 1), (2, 3)))
        figures |= _interval(f"lines_valid_{name}", share) | _interval(f"moves_{name}", moves) | {f"lines_{name}": int(of[:, 1].sum())}
    for name, other in (("plain", "teacher"), ("calculator", "teacher"), ("checked", "teacher"), ("calculator", "plain")):
        share = _ratios(counts[name], samples, 0, 1) - _ratios(counts[other], samples, 0, 1)
        figures |= _interval(f"lines_valid_{name}_minus_{other}", share)
        figures[f"moves_{name}_of_{other}"] = round(float(counts[name][:, 2].sum() / counts[other][:, 2].sum()), 4)
    return figures


def _ratios(counts: np.ndarray, samples: np.ndarray, part: int, whole: int) -> np.ndarray:
    """The ratio of two summed columns of `counts` (sessions, 4): over all sessions, then over each resampling (samples, sessions)."""
    drawn = counts[samples].sum(axis=1)
    return np.array([counts[:, part].sum() / counts[:, whole].sum(), *(drawn[:, part] / drawn[:, whole])])


def _interval(name: str, values: np.ndarray) -> Json:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {name: round(float(values[0]), 4), f"{name}_low": round(float(low), 4), f"{name}_high": round(float(high), 4)}
