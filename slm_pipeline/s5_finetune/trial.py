"""A short fine-tune that is judged on validation calls: what S4's halving, the verdicts on tasks and the learning curve share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune.configuration import Configuration, Form
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import granted

if TYPE_CHECKING:
    from slm_pipeline.inference import Adapter
    from slm_pipeline.resources.engine import Completion
    from slm_pipeline.s5_finetune.dataset import Dataset


@dataclass(frozen=True)
class Trial:
    """`examples` were trained on. loss: the best epoch's validation loss, nats per answer token; nats_per_byte: the same per byte of the
    answers, which bases with other tokens share. scores: of each asked call, in order."""

    examples: int
    loss: float
    nats_per_byte: float
    scores: list[float]


def fine_tune_briefly(
    group: str,
    base: BaseFiles,
    examples: pd.DataFrame,
    asked: pd.DataFrame,
    tasks: Json,
    configuration: Configuration,
    settings: Settings,
) -> Trial:
    """Train on the training split of `examples`, take the loss on its validation split, and ask the adapter the calls `asked`.

    Both tables have the columns of `task_examples`; nothing is asked if `asked` is empty. The adapter is not kept.
    """
    from slm_pipeline.inference import Adapter
    from slm_pipeline.prompting import tokenizer
    from slm_pipeline.s5_finetune.fit import fit

    dataset = dataset_of(group, base, examples, tasks, configuration.prompt, settings)
    with TemporaryDirectory() as folder:
        loss = fit(base, dataset, configuration, settings, Path(folder))["best_loss"]
        adapter = Adapter(Path(folder), configuration.prompt, granted(tasks, group, settings))
        found = adapter_scores(group, asked, tasks, base, adapter, settings)
    tokens = sum(len(example.answer) for example in dataset.validation)
    size = sum(len(tokenizer(base.folder).decode(example.answer).encode()) for example in dataset.validation)
    return Trial(len(dataset.training), loss, loss * tokens / size, found)


def dataset_of(group: str, base: BaseFiles, examples: pd.DataFrame, tasks: Json, form: Form, settings: Settings) -> "Dataset":
    """The examples as an attempt at the group's adapter would be trained on them, with its tools and checkers."""
    from slm_pipeline.s5_finetune.dataset import build_dataset

    tools, checkers = granted(tasks, group, settings), checkers_of(tasks, group, settings)
    return build_dataset(examples, base.folder, settings, form, tools, checkers)


def adapter_scores(group: str, asked: pd.DataFrame, tasks: Json, base: BaseFiles, adapter: "Adapter", settings: Settings) -> list[float]:
    """The scores of an adapter on the calls `asked`, in order."""
    from slm_pipeline.inference import ask_adapter, task_schemas

    if asked.empty:
        return []
    said = ask_adapter(asked, task_schemas(tasks), base, adapter, settings)
    return scores(group, asked, said, tasks, settings)


def scores(group: str, asked: pd.DataFrame, said: Sequence["Completion"], tasks: Json, settings: Settings) -> list[float]:
    """How well each answer answers its call, 0 to 1, by what the group's gate compares; what a user's checker fails on counts as 0."""
    from slm_pipeline.s6_refine.evaluation import gate_metric, score_answers

    checkers = checkers_of(tasks, group, settings)
    rows = score_answers("adapter", "", asked, said, tasks, checkers, settings.leeway)
    return rows[gate_metric(asked, checkers)].fillna(0.0).tolist()


def drawn(calls: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """At most `most` of the calls, drawn by a seeded hash of their ids, so that a call's place is its own; sorted by id."""
    rank = [digest(seed, id_) for id_ in calls["id"]]
    return calls.assign(rank=rank).sort_values("rank").head(most).drop(columns="rank").sort_values("id", ignore_index=True)


def whole_sessions(training: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """The rows of the first sessions, in a seeded order, until `most` rows are reached: for a smaller `most` a subset of these rows."""
    rank = [digest(seed, session) for session in training["session_id"]]
    ordered = training.assign(rank=rank).sort_values(["rank", "id"], kind="stable")
    last = ordered["rank"].iloc[min(most, len(ordered)) - 1]
    return training.loc[ordered.index[ordered["rank"] <= last]].sort_index()
