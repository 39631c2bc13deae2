"""From a group's examples to what the trainer reads: token ids, and a digest that names exactly these."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from slm_pipeline.answers import target_answer
from slm_pipeline.checkers import Checker, CheckerError, checked_answer
from slm_pipeline.lake import digest
from slm_pipeline.prompting import fit_messages, render_prompt, special_tokens, token_ids
from slm_pipeline.s5_finetune.configuration import COLUMN, Form
from slm_pipeline.s5_finetune.teacher import teacher_folder, teacher_prompt
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import Tool, with_calls


@dataclass(frozen=True)
class Encoded:
    """One example: prompt and answer as token ids, seen `repeats` times per epoch. `full_prompt`: what a teacher whose logits are
    distilled reads instead; empty without one."""

    prompt: list[int]
    answer: list[int]
    repeats: int = 1
    full_prompt: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Preference:
    """A logged failure: the answer that is to be learned, and the SLM's own that was not used, to the same prompt."""

    preferred: Encoded
    rejected: Encoded


@dataclass(frozen=True)
class Dataset:
    """What one adapter is trained on. `failures` of the training examples are ones on which an SLM failed. `shortened` prompts lost
    their beginning; `left_out` examples have an answer longer than `max_answer_tokens`, for no answer is ever cut. Of `rejected` ones
    a user's checker keeps nothing, of `mended` ones not every line; on `unchecked` ones it failed, and all of them is learned.
    `preferences` are the failures with an answer of the SLM that says something else."""

    training: list[Encoded]
    validation: list[Encoded]
    digest: str
    failures: int
    shortened: int
    left_out: int = 0
    rejected: int = 0
    mended: int = 0
    unchecked: int = 0
    preferences: tuple[Preference, ...] = ()

    @property
    def judged_by(self) -> list[Encoded]:
        """Whose loss chooses the epoch: the validation examples, or the training examples of a group that has none yet."""
        return self.validation or self.training


def build_dataset(
    examples: pd.DataFrame,
    folder: Path,
    settings: Settings,
    prompt: Form = "factored",
    tools: Mapping[str, Collection[Tool]] = MappingProxyType({}),
    checkers: Mapping[str, Checker] = MappingProxyType({}),
) -> Dataset:
    """Encode the training and validation examples (columns of `task_examples`), with that form of prompt, for the base in `folder`.

    Prompts longer than `max_prompt_tokens` lose their beginning and are counted; so are answers too long to be trained on. An
    example on which an SLM failed is seen `failure_repeats` times per epoch. Of the answers of a task with one of `checkers`, what
    it keeps is learned; where most of a task's answers are whole, only these teach where an answer ends. Answers of a task that was
    granted `tools` are written with their calls.
    """
    teacher = teacher_folder(settings, folder)
    used = examples[examples["split"].isin(["train", "validation"])]
    end = token_ids(special_tokens(folder)["eos_token"], folder)
    encoded: dict[str, list[Encoded]] = {"train": [], "validation": []}
    preferences = []
    answers, unchecked = _kept(used, checkers)
    shortened = left_out = rejected = mended = 0
    for row, kept, ends in zip(used.itertuples(), answers, _teaches_end(used, answers), strict=True):
        messages, cut = fit_messages(json.loads(getattr(row, COLUMN[prompt])), folder, settings.max_prompt_tokens)
        seen = "\n".join(message["content"] for message in messages)
        if not kept:
            rejected += 1
            continue
        mended += kept != row.answer
        text = with_calls(seen, kept, row.form, tools.get(row.task, ()))
        repeats = settings.failure_repeats if row.failed and row.split == "train" else 1
        asked, answer = token_ids(render_prompt(messages, folder), folder), token_ids(text, folder) + (end if ends else [])
        if len(answer) > settings.max_answer_tokens:
            left_out += 1
            continue
        full_prompt = teacher_prompt(json.loads(row.full_messages), teacher, settings) if teacher else []
        example = Encoded(asked, answer, repeats, full_prompt)
        encoded[row.split].append(example)
        said = getattr(row, "rejected_answer", None)  # examples of older lakes have no such column
        if row.split == "train" and pd.notna(said) and said != kept:
            instead = token_ids(with_calls(seen, said, row.form, tools.get(row.task, ())), folder) + end
            if ends and len(instead) <= settings.max_answer_tokens:
                preferences.append(Preference(example, Encoded(asked, instead)))
        shortened += cut
    pairs = [(p.preferred.prompt, p.preferred.answer, p.rejected.answer) for p in preferences]
    name = digest([[(e.prompt, e.answer, e.repeats, e.full_prompt) for e in encoded[split]] for split in encoded], pairs)
    failures = int(used[used["split"] == "train"]["failed"].sum())
    return Dataset(
        encoded["train"], encoded["validation"], name, failures, shortened, left_out, rejected, mended, unchecked, tuple(preferences)
    )


def _kept(examples: pd.DataFrame, checkers: Mapping[str, Checker]) -> tuple[list[str | None], int]:
    """What checkers keep of the answers of rows of `task_examples`, and on how many they failed."""
    kept, unchecked = [], 0
    for row in examples.itertuples():
        if row.task not in checkers:
            kept.append(row.answer)
            continue
        answer = target_answer({"answer": row.answer, "form": row.form})
        try:
            kept.append(checked_answer(checkers[row.task], json.loads(row.full_messages), answer, row.answer).kept)
        except CheckerError:
            kept.append(row.answer)
            unchecked += 1
    return kept, unchecked


def _teaches_end(examples: pd.DataFrame, kept: list[str | None]) -> list[bool]:
    """For each row whether its kept answer teaches where an answer ends: all but the mended ones of a task most of whose answers are whole.

    With lines taken out, an answer ends sooner than any of its teacher's did.
    """
    mended = pd.Series(kept, examples.index) != examples["answer"]
    share = mended[pd.notna(kept)].groupby(examples["task"]).mean()
    return list(~mended | (examples["task"].map(share) >= 0.5))
