"""Cross-validation: every call is answered by an SLM that was trained on other calls, and what was answered is kept."""

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np
import pandas as pd

from slm_pipeline.checkers import Checker
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import Tool

FOLDS = 5
VALIDATION = 10
"""Of what is trained on, one in so many decides when training ends; one in FOLDS, where there is little."""


@dataclass(frozen=True)
class Fold:
    """Rows of `task_examples` that are `asked`, and those that are `learned`, whose split is train or validation."""

    name: str
    asked: pd.DataFrame
    learned: pd.DataFrame


def folds(rows: pd.DataFrame, units: pd.Series, worth: Collection[str], seed: int) -> Iterator[Fold]:
    """FOLDS folds, in which every row is asked once and no unit is on two sides; `units` says what a row belongs to (session, task).

    Learned are rows whose id is among `worth` and that ask nothing that the fold asks. Raises ValueError if there are fewer units
    than folds.
    """
    ordered = sorted(units.unique(), key=lambda unit: digest(seed, unit))
    if len(ordered) < FOLDS:
        raise ValueError(f"{len(ordered)} sessions cannot be parted in {FOLDS} folds: give calls of more sessions (session_id)")
    place = units.map({unit: i for i, unit in enumerate(ordered)})
    for fold in range(FOLDS):
        asked = rows[place % FOLDS == fold]
        learned = rows[(place % FOLDS != fold) & rows["id"].isin(worth) & ~rows["messages"].isin(set(asked["messages"]))]
        split = np.where(place[learned.index] // FOLDS % VALIDATION == fold, "validation", "train")
        yield Fold(f"fold {fold + 1}", asked, learned.assign(split=split))


def ask_trained(
    name: str,
    fold: Fold,
    tasks: Json,
    settings: Settings,
    kept: Path,
    tools: Mapping[str, Collection[Tool]] = MappingProxyType({}),
    checkers: Mapping[str, Checker] = MappingProxyType({}),
) -> list[Completion]:
    """What an SLM that was trained on the fold's learned rows, as the settings say, answers to those asked.

    Answers are kept in folder `kept`, so that a measurement that was stopped goes on. Says on standard error how far it is.
    """
    from slm_pipeline.inference import Adapter, ask_adapter, task_schemas
    from slm_pipeline.s4_select.base_models import ensure_base
    from slm_pipeline.s5_finetune.configuration import COLUMN, default_configuration
    from slm_pipeline.s5_finetune.dataset import build_dataset
    from slm_pipeline.s5_finetune.fit import fit

    what, base, configuration = f"{name}, {fold.name}", ensure_base(settings.base_models[0], settings), default_configuration(settings)
    dataset = build_dataset(fold.learned, base.folder, settings, tools=tools, checkers=checkers)

    def ask() -> list[Completion]:
        with TemporaryDirectory() as folder:
            curves = fit(base, dataset, configuration, settings, Path(folder), on_step=_steps(what))
            print(f"{what}: validation loss {curves['best_loss']:.3f}", file=sys.stderr, flush=True)
            adapter = Adapter(Path(folder), tools=tools)
            return ask_adapter(fold.asked, task_schemas(tasks), base, adapter, settings, count(what, len(fold.asked)))

    asked = fold.asked[["id", COLUMN["factored"]]].to_dict("list")
    inputs = [base.name, dataset.digest, asdict(configuration), asked, {task: list(of) for task, of in tools.items()}]
    return kept_answers(kept, inputs, settings, ask)


def kept_answers(kept: Path, inputs: list, settings: Settings, ask: Callable[[], list[Completion]]) -> list[Completion]:
    """What `ask` says, asked once for the same inputs and lengths of prompts and answers."""
    lengths = settings.max_prompt_tokens, settings.base_prompt_tokens, settings.max_answer_tokens
    file = kept / f"answers-{digest(inputs, lengths)[:16]}.json"
    if not file.exists():
        said = ask()
        kept.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps([asdict(completion) for completion in said]))
    return [Completion(**completion) for completion in json.loads(file.read_text())]


def count(what: str, of: int) -> Callable[[], None]:
    """To be called when a call is answered; says now and then how many are."""
    done = iter(range(1, of + 1))

    def say() -> None:
        if (n := next(done)) % 20 == 0:
            print(f"{what}: {n} of {of} calls answered", file=sys.stderr, flush=True)

    return say


def _steps(what: str) -> Callable[[int, int, float], None]:
    def say(step: int, steps: int, loss: float) -> None:
        if step % 20 == 0:
            print(f"{what}: step {step} of at most {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    return say
