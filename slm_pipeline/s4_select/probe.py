"""Measures untuned bases on a group's validation examples, asked as an adapter would be: with the factored prompt.

The full prompt costs many times as much and belongs to S6, which judges the chosen base at its best on the test split.
"""

from collections.abc import Sequence
from itertools import product
from statistics import fmean

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s4_select.catalogue import CatalogueEntry
from slm_pipeline.s4_select.selection import Probe
from slm_pipeline.settings import Settings

FORMS = ("factored",)


def probe(entry: CatalogueEntry, base: BaseFiles, examples: pd.DataFrame, tasks: dict[str, Json], settings: Settings) -> list[Probe]:
    """Probes for each of FORMS, zero-shot and with `settings.few_shot` examples, on at most `settings.probe_examples` validation
    examples drawn by seed.

    `examples` are all of the group (columns of `task_examples`): those shown in the prompt are drawn from its training split.
    """
    from slm_pipeline.inference import ask_base, task_schemas

    training = examples[examples["split"] == "train"]
    validation = examples[examples["split"] == "validation"]
    drawn = validation.sample(min(settings.probe_examples, len(validation)), random_state=settings.seed).sort_values("id")
    schemas, probes = task_schemas(tasks), []
    for form, shots in product(FORMS, sorted({0, settings.few_shot})):
        shown = settings.model_copy(update={"few_shot": shots})
        said = ask_base(drawn, training, schemas, base, form, shown) if len(drawn) else []
        probes.append(_measure(entry, form, shots, drawn, said, tasks, settings))
    return probes


def _measure(
    entry: CatalogueEntry, form: str, shots: int, drawn: pd.DataFrame, completions: Sequence, tasks: dict[str, Json], settings: Settings
) -> Probe:
    from slm_pipeline.answers import parse_answer
    from slm_pipeline.intervals import mean_interval
    from slm_pipeline.scores import grade

    if drawn.empty:
        return Probe(entry.name, form, 0, 0.0, None, None, 0.0, 0.0, entry.params, shots)
    grades = [
        grade(parse_answer(example.answer), parse_answer(given.text), tasks[example.task]["tools"] or [])
        for example, given in zip(drawn.itertuples(), completions, strict=True)
    ]
    interval = mean_interval([g.call for g in grades], drawn["session_id"], settings.bootstrap_samples, settings.seed)
    similarity = fmean(g.similarity for g in grades)
    tokens = fmean(c.prompt_tokens for c in completions)
    return Probe(entry.name, form, interval.n, interval.mean, interval.low, interval.high, similarity, tokens, entry.params, shots)
