"""From a group's examples to what the trainer reads: token ids, and a digest that names exactly these."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.prompting import fit_messages, render_prompt, special_tokens, token_ids
from slm_pipeline.s5_finetune.configuration import COLUMN, Form
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import Tool, with_calls


@dataclass(frozen=True)
class Encoded:
    """One example: prompt and answer as token ids, seen `repeats` times per epoch."""

    prompt: list[int]
    answer: list[int]
    repeats: int = 1

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


@dataclass(frozen=True)
class Dataset:
    """What one adapter is trained on. `failures` of the training examples are ones on which an SLM failed."""

    training: list[Encoded]
    validation: list[Encoded]
    digest: str
    failures: int
    shortened: int


def build_dataset(
    examples: pd.DataFrame,
    folder: Path,
    settings: Settings,
    prompt: Form = "factored",
    tools: Mapping[str, Collection[Tool]] = MappingProxyType({}),
) -> Dataset:
    """Encode the training and validation examples (columns of `task_examples`), with that form of prompt, for the base in `folder`.

    Prompts longer than `max_prompt_tokens` lose their beginning and are counted. An example on which an SLM failed is seen
    `failure_repeats` times per epoch. Answers of a task that was granted `tools` are written with their calls.
    """
    used = examples[examples["split"].isin(["train", "validation"])]
    end = special_tokens(folder)["eos_token"]
    encoded: dict[str, list[Encoded]] = {"train": [], "validation": []}
    shortened = 0
    for row in used.itertuples():
        messages, cut = fit_messages(json.loads(getattr(row, COLUMN[prompt])), folder, settings.max_prompt_tokens)
        seen = "\n".join(message["content"] for message in messages)
        text = with_calls(seen, row.answer, row.form, tools.get(row.task, ()))
        repeats = settings.failure_repeats if row.failed and row.split == "train" else 1
        asked, answer = token_ids(render_prompt(messages, folder), folder), token_ids(text + end, folder)
        if len(answer) > settings.max_answer_tokens:
            continue
        encoded[row.split].append(Encoded(asked, answer, repeats))
        shortened += cut
    name = digest([[(e.prompt, e.answer, e.repeats) for e in encoded[split]] for split in encoded])
    failures = int(used[used["split"] == "train"]["failed"].sum())
    return Dataset(encoded["train"], encoded["validation"], name, failures, shortened)
