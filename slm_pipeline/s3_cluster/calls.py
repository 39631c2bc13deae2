"""The sampled calls as clustering sees them: which part of each prompt is static, and which text tells it from others."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.homogeneity import answer_shape
from slm_pipeline.s3_cluster.mining import find_templates
from slm_pipeline.s3_cluster.structure import loose_digest, structure_of, system_of
from slm_pipeline.s3_cluster.templates import opening, wording
from slm_pipeline.settings import Settings

FAN = 3  # system prompts that differ in the values of slots only, from which they are one that varies


@dataclass(frozen=True)
class Call:
    """One training call. `system`: the static system prompt, None if it has none or it varies. `wording`: see templates."""

    id: str
    agent: str
    request: Json
    answer: Json
    system: str | None
    structure: str
    variant: str
    opening: str
    wording: str
    shape: str


def read_calls(sample: pd.DataFrame, settings: Settings) -> list[Call]:
    """The calls of the sample (columns id, agent, request, answer), sorted by id."""
    rows = list(sample.sort_values("id").itertuples())
    requests = [json.loads(row.request) for row in rows]
    static = _static_systems(requests, settings)
    calls = []
    for row, request in zip(rows, requests, strict=True):
        system = system_of(request)
        with_system = system is not None and loose_digest(request, system) in static
        structure = structure_of(request, with_system)
        key = loose_digest(request, structure.system)
        answer = json.loads(row.answer)
        first, words = opening(request, structure.system), wording(request, structure.system)
        calls.append(Call(row.id, row.agent, request, answer, structure.system, key, structure.exact, first, words, answer_shape(answer)))
    return calls


def _static_systems(requests: Sequence[Json], settings: Settings) -> set[str]:
    """The loose digests of the structures whose system prompt is static: it recurs, and is not one of several cases of a template."""
    by_form: dict[str, Counter[str]] = defaultdict(Counter)
    for request in requests:
        if (system := system_of(request)) is not None:
            by_form[loose_digest(request, None)][system] += 1
    varying: set[tuple[str, str]] = set()
    for form, systems in by_form.items():
        varying |= {(form, system) for system, n in systems.items() if n < settings.min_task_calls}
        said = [system for system, n in systems.items() if n >= settings.min_task_calls for _ in range(settings.min_task_calls)]
        for _, found in find_templates(said, [""] * len(said), settings) if len(set(said)) >= FAN else ():
            if len(cases := {said[i] for i in found}) >= FAN:
                varying |= {(form, system) for system in cases}
    return {
        loose_digest(request, system)
        for request in requests
        if (system := system_of(request)) is not None and (loose_digest(request, None), system) not in varying
    }
