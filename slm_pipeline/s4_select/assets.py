"""S4: which base models could be fine-tuned, and which one is, per group."""

import dataclasses
from collections.abc import Callable

import dagster as dg
import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.lake import Lake, digest
from slm_pipeline.partitions import groups
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s4_select.candidates import candidates, unfit
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.choice import choose
from slm_pipeline.s4_select.licences import teachers_of, training_allowed
from slm_pipeline.s4_select.panels import candidate_metadata, selection_metadata
from slm_pipeline.s4_select.probe import probe
from slm_pipeline.s4_select.selection import explain, rank
from slm_pipeline.s5_finetune.configuration import default_configuration
from slm_pipeline.settings import Settings, get_settings

CANDIDATES = "s4_select/candidate_models"
SELECTED = "s4_select/selected_base"
EXAMPLES = "s3_cluster/task_examples"


@dg.asset(group_name="s4_select", kinds={"yaml"}, owners=["team:slm_pipeline"])
def candidate_models() -> dg.MaterializeResult:
    """The catalogue of base models after the hard filters: size, licence, context, remote code, presence of the weights, and whether
    the base fits the device of one user and is fast enough on it.

    Every refusal is listed with its reasons and numbers. Which ones may be chosen is a setting: `base_models`; the device: `device`.
    """
    settings = get_settings()
    judged = candidates(settings)
    artefact = Lake(settings.lake).write(CANDIDATES, None, {"candidates": [dataclasses.asdict(c) for c in judged]})
    return dg.MaterializeResult(metadata=candidate_metadata(judged, settings), data_version=dg.DataVersion(artefact.digest))


@dg.asset(
    group_name="s4_select",
    kinds={"llamacpp", "mlflow"},
    owners=["team:slm_pipeline"],
    partitions_def=groups,
    deps=["task_examples", "candidate_models"],
)
def selected_base(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The base model of a group: the cheapest candidate that a short fine-tune makes as good as the best, beyond noise.

    Every candidate is asked some validation examples untuned, with the factored prompt as the adapter will be, zero-shot and shown
    training examples, decoded under the tools' schema. If several candidates are left, short fine-tunes decide by successive halving;
    each is a run in the group's MLflow experiment. Nothing is measured again while examples, candidates and settings are the same.
    """
    settings, group = get_settings(), context.partition_key
    lake = Lake(settings.lake)
    examples = lake.read(EXAMPLES, group)
    names = fitting(passing(lake.read(CANDIDATES).json("candidates"), settings), examples.table("examples"), lake, settings)
    trials = _trial_settings(group, examples.json("tasks"), settings) if len(names) > 1 else None
    inputs = digest(examples.digest, names, _probe_settings(settings), trials)
    selected = lake.read(SELECTED, group)
    unchanged = selected is not None and selected.inputs == inputs
    if not unchanged:
        selection = _measure(group, names, examples.table("examples"), examples.json("tasks"), settings, context.log.info)
        selected = lake.write(SELECTED, group, {"selection": selection}, inputs)
    metadata = {**selection_metadata(selected.json("selection")), "asked_again": not unchanged}
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(selected.digest))


def passing(candidates: list[dict], settings: Settings) -> list[str]:
    """Names of the candidates that passed; raises Failure with the reasons of those asked for if none did."""
    names = [c["name"] for c in candidates if c["ok"]]
    if not names:
        reasons = "\n".join(f"{c['name']}: {c['reason']}" for c in candidates if c["name"] in settings.base_models)
        raise dg.Failure(f"No base model passed the filters.\n{reasons}")
    return names


def fitting(names: list[str], examples: pd.DataFrame, lake: Lake, settings: Settings) -> list[str]:
    """Those of `names` that fit the device and are fast enough there for the group's own calls, and may be trained on its teachers'
    answers; raises Failure if none is."""
    bases = {name: entry(name, settings) for name in names}
    teachers = teachers_of(examples[examples["split"].isin(["train", "validation"])], lake)
    verdicts = {name: training_allowed(base, teachers, settings) for name, base in bases.items()}
    refused = {name: "; ".join(verdict.reasons) for name, verdict in verdicts.items() if not verdict.allowed}
    refused |= unfit(bases, examples, settings)
    if len(refused) == len(names):
        raise dg.Failure("No base model suits this group's calls.\n" + "\n".join(f"{name}: {why}" for name, why in refused.items()))
    return [name for name in names if name not in refused]


def _measure(group: str, names: list[str], examples: pd.DataFrame, tasks: Json, settings: Settings, say: Callable[[str], None]) -> Json:
    """selection.json: `base`, `why`, `prompt_form` and `probe` of that base, `ranked` (all probes), `trials` (short fine-tunes, if any)."""
    ranked = rank(p for name in names for p in probe(entry(name, settings), ensure_base(name, settings), examples, tasks, settings))
    chosen = {"base": ranked[0].name, "why": explain(ranked), "trials": []}
    if len(names) > 1 and {"train", "validation"} <= set(examples["split"]):
        chosen = choose(group, names, examples, tasks, settings, say)
    best = next(p for p in ranked if p.name == chosen["base"])
    probes = {"probe": dataclasses.asdict(best), "ranked": [dataclasses.asdict(p) for p in ranked]}
    return {**chosen, "prompt_form": best.form, **probes}


def _probe_settings(settings: Settings) -> dict:
    used = {"probe_examples", "few_shot", "seed", "base_prompt_tokens", "max_answer_tokens", "bootstrap_samples"}
    return settings.model_dump(include=used)


def _trial_settings(group: str, tasks: Json, settings: Settings) -> list:
    used = {"trial_examples", "trial_calls", "failure_repeats", "max_prompt_tokens", "granted_tools", "leeway", "device", "quantisation"}
    checked = [checker.digest for checker in checkers_of(tasks, group, settings).values()]
    return [default_configuration(settings).json(), checked, settings.model_dump(mode="json", include=used)]
