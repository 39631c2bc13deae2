"""`slm bench folds`: proposed arithmetic steps, every call asked of an SLM that was trained on the other sessions' calls."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from slm_pipeline.bench import _step_checker
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._step_lines import legal_moves, valid_lines
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

FOLDS = 5
VALIDATION = 10
"""One in so many of the sessions trained on decides when training ends."""
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
    from slm_pipeline.bench._traffic import recorded

    with temporary_home(settings) as fresh:
        rows, training, tasks = _rows(fresh, data)
        answers = {name: _answers(name, rows, training, tasks, fresh, settings.home / "bench") for name in SYSTEMS}
    answers["teacher"] = rows["answer"]
    counted = recorded(rows)
    said = {name: of[counted.index].reset_index(drop=True) for name, of in answers.items()}
    return _figures(counted.reset_index(drop=True), said, settings)


def _rows(settings: Settings, data: Path) -> tuple[pd.DataFrame, set[str], Json]:
    """All rows of the one group that S3 finds, with a column `fold`; the ids of those worth training on; its tasks."""
    from slm_pipeline.bench._traffic import all_rows, collected

    lake = collected(settings, data)
    (group,) = lake.partitions(EXAMPLES)
    found = lake.read(EXAMPLES, group)
    rows, training = all_rows(found)
    sessions = sorted(rows["session_id"].unique(), key=lambda session: digest(settings.seed, session))
    places = {session: i for i, session in enumerate(sessions)}
    return rows.assign(fold=rows["session_id"].map(places)), training, found.json("tasks")


def _answers(name: str, rows: pd.DataFrame, training: set[str], tasks: Json, settings: Settings, kept: Path) -> pd.Series:
    from slm_pipeline.checkers import Checker
    from slm_pipeline.inference import Adapter, ask_adapter, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import default_configuration
    from slm_pipeline.s5_finetune.dataset import build_dataset
    from slm_pipeline.s5_finetune.fit import fit

    granted, checked = SYSTEMS[name]
    base = ensure_base(settings.base_models[0], settings)
    configuration = default_configuration(settings)
    tools = dict.fromkeys(tasks, ("calculator",)) if granted else {}
    file = Path(_step_checker.__file__)
    checkers = dict.fromkeys(tasks, Checker(file, file.read_text())) if checked else {}
    answers = {}
    for fold in range(FOLDS):
        asked = rows[rows["fold"] % FOLDS == fold]
        others = rows[(rows["fold"] % FOLDS != fold) & rows["id"].isin(training) & ~rows["messages"].isin(set(asked["messages"]))]
        split = np.where(others["fold"] // FOLDS % VALIDATION == fold, "validation", "train")
        dataset = build_dataset(others.assign(split=split), base.folder, settings, tools=tools, checkers=checkers)
        file = kept / f"folds-{digest(dataset.digest, asdict(configuration), list(asked['id']), granted)[:16]}.json"
        if not file.exists():
            with TemporaryDirectory() as folder:
                curves = fit(base, dataset, configuration, settings, Path(folder), on_step=_progress(f"{name}, fold {fold + 1}"))
                print(f"{name}, fold {fold + 1}: validation loss {curves['best_loss']:.3f}", file=sys.stderr, flush=True)
                said = ask_adapter(asked, task_schemas(tasks), base, Adapter(Path(folder), tools=tools), settings)
            kept.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([completion.text for completion in said]))
        answers |= dict(zip(asked["id"], json.loads(file.read_text()), strict=True))
    return rows["id"].map(answers)


def _progress(what: str) -> Callable[[int, int, float], None]:
    def say(step: int, steps: int, loss: float) -> None:
        if step % 20 == 0:
            print(f"{what}: step {step} of at most {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    return say


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
