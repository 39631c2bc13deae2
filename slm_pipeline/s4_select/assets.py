"""S4: which base models could be fine-tuned, and which one is, per group."""

import dataclasses

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Lake, digest
from slm_pipeline.partitions import groups
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s4_select.candidates import candidates, unfit
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.panels import candidate_metadata
from slm_pipeline.s4_select.probe import probe
from slm_pipeline.s4_select.selection import Probe, explain, rank
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
    kinds={"llamacpp"},
    owners=["team:slm_pipeline"],
    partitions_def=groups,
    deps=["task_examples", "candidate_models"],
)
def selected_base(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The base model of a group, chosen by asking every candidate some validation examples.

    Each untuned candidate is asked with the factored prompt, as the adapter will be, shown training examples, and decoded under
    the tools' schema. Nothing is asked again while examples, candidates and settings are the same.
    """
    settings, group = get_settings(), context.partition_key
    lake = Lake(settings.lake)
    examples = lake.read(EXAMPLES, group)
    names = fitting(passing(lake.read(CANDIDATES).json("candidates"), settings), examples.table("examples"), settings)
    inputs = digest(examples.digest, names, _probe_settings(settings))
    selected = lake.read(SELECTED, group)
    unchanged = selected is not None and selected.inputs == inputs
    if not unchanged:
        ranked = rank(_probe_all(names, examples.table("examples"), examples.json("tasks"), settings))
        selected = lake.write(SELECTED, group, {"selection": _selection(ranked)}, inputs)
    selection = selected.json("selection")
    metadata = {
        "base": selection["base"],
        "prompt_form": selection["prompt_form"],
        "why": selection["why"],
        "ranking": dg.MetadataValue.md(_ranking_table(selection["ranked"])),
        "asked_again": not unchanged,
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(selected.digest))


def passing(candidates: list[dict], settings: Settings) -> list[str]:
    """Names of the candidates that passed; raises Failure with the reasons of those asked for if none did."""
    names = [c["name"] for c in candidates if c["ok"]]
    if not names:
        reasons = "\n".join(f"{c['name']}: {c['reason']}" for c in candidates if c["name"] in settings.base_models)
        raise dg.Failure(f"No base model passed the filters.\n{reasons}")
    return names


def fitting(names: list[str], examples: pd.DataFrame, settings: Settings) -> list[str]:
    """Those of `names` that fit the device and are fast enough there for the group's own calls; raises Failure if none does."""
    refused = unfit({name: entry(name, settings) for name in names}, examples, settings)
    if len(refused) == len(names):
        raise dg.Failure("No base model suits this group's calls.\n" + "\n".join(f"{name}: {why}" for name, why in refused.items()))
    return [name for name in names if name not in refused]


def _probe_all(names: list[str], examples: pd.DataFrame, tasks: dict, settings: Settings) -> list[Probe]:
    return [p for name in names for p in probe(entry(name, settings), ensure_base(name, settings), examples, tasks, settings)]


def _probe_settings(settings: Settings) -> dict:
    used = {"probe_examples", "few_shot", "seed", "base_prompt_tokens", "max_answer_tokens", "bootstrap_samples"}
    return settings.model_dump(include=used)


def _selection(ranked: list[Probe]) -> dict:
    best = dataclasses.asdict(ranked[0])
    return {
        "base": best["name"],
        "prompt_form": best["form"],
        "why": explain(ranked),
        "probe": best,
        "ranked": [dataclasses.asdict(p) for p in ranked],
    }


def _ranking_table(ranked: list[dict]) -> str:
    def row(place: int, p: dict) -> dict:
        interval = f" [{p['low']:.1%}, {p['high']:.1%}]" if p["low"] is not None else ""
        return {
            "place": place,
            "base": p["name"],
            "prompt": p["form"],
            "whole call": f"{p['accuracy']:.1%}{interval}",
            "n": p["n"],
            "similarity": f"{p['similarity']:.2f}",
            "prompt tokens": f"{p['prompt_tokens']:.0f}",
        }

    return pd.DataFrame([row(i, p) for i, p in enumerate(ranked, 1)]).to_markdown(index=False, disable_numparse=True)
