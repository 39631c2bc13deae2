"""S3 in the asset graph."""

import json
from functools import partial

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.partitions import days, groups
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.panels import assignment_panel, clusters_panel, examples_panel, map_panel, traffic_panel
from slm_pipeline.s3_cluster.refresh import CLUSTERS, assignment_inputs, refresh_clusters
from slm_pipeline.s3_cluster.traffic import ASSIGNMENTS, day_traffic, read_traffic
from slm_pipeline.settings import Settings, get_settings

EXAMPLES = "s3_cluster/task_examples"
OWNERS = ["team:slm-pipeline"]


@dg.asset(deps=["curated_calls"], group_name="s3_cluster", owners=OWNERS, kinds={"scikitlearn"})
def task_clusters(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The tasks that the agents' calls fall into, found in a sample of training calls, and the groups that are trained together.

    A task is recognisable from the prompt alone: by system prompt and tools, by the first words of a templated prompt, or by
    its wording. Keys stay when tasks are found again. Every group becomes a partition.
    """
    settings, lake = get_settings(), Lake(get_settings().lake)
    current, reason = refresh_clusters(lake, settings)
    clusters = current.json("clusters")
    context.instance.add_dynamic_partitions(groups.name, [group["key"] for group in clusters["groups"]])
    metadata = {"clustered_again": reason or "no: nothing asks for it"}
    metadata |= map_panel(current.table("map"), clusters) | clusters_panel(clusters, current.json("prompts"))
    metadata |= traffic_panel(read_traffic(lake), clusters)
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(current.digest))


@dg.asset(
    deps=["curated_calls", "task_clusters"],
    partitions_def=days,
    group_name="s3_cluster",
    owners=OWNERS,
    kinds={"parquet"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def task_assignments(context: dg.AssetExecutionContext) -> None:
    """For every call of a day its task and group, from the prompt alone; or the reason why it has none and stays with the LLM."""
    lake = Lake(get_settings().lake)
    artefact = lake.read(CLUSTERS)
    clusters = artefact.json("clusters") if artefact else None
    for day in context.partition_keys:
        curated, current = lake.read(CURATED, day), lake.read(ASSIGNMENTS, day)
        inputs = curated and assignment_inputs(curated, clusters)
        if curated and (current is None or current.inputs != inputs):
            current = lake.write(ASSIGNMENTS, day, assigned_day(curated, clusters, current), inputs)
        table = current.table("assignments") if current else None
        context.add_asset_metadata(assignment_panel(table), partition_key=day)


def assigned_day(curated: Artefact, clusters: Json | None, current: Artefact | None) -> dict:
    """What the lake holds of a day's assignments: those of the calls, those of the planted copies, and the traffic by task.

    Where only groups changed since the `current` ones, prompts are not read again.
    """
    from slm_pipeline.s3_cluster.assignment import assign_calls, recognisers, regrouped

    basis = [curated.digest, clusters and recognisers(clusters)]
    if clusters and current and "basis.json" in current.files and current.json("basis") == basis:
        assigned = {name: regrouped(current.table(name), clusters) for name in ("assignments", "canaries")}
        return assigned | {"traffic": current.table("traffic"), "basis": basis}
    calls = curated.table("calls")
    assignments, planted = assign_calls(calls, clusters), assign_calls(curated.table("canaries"), clusters)
    return {"assignments": assignments, "canaries": planted, "traffic": day_traffic(calls, assignments), "basis": basis}


@dg.asset(deps=["task_assignments", "task_clusters"], partitions_def=groups, group_name="s3_cluster", owners=OWNERS, kinds={"parquet"})
def task_examples(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A group's examples by split, with the static part of the prompt taken away; what repeats itself is thinned from training.

    Calls of the training split on which an SLM failed are among the training examples, marked as failed.
    """
    from slm_pipeline.s3_cluster.examples import SETTINGS, VERSION, build_examples, gather, group_tasks, version_of

    settings, lake, group = get_settings(), Lake(get_settings().lake), context.partition_key
    tasks = {task["key"]: task for task in lake.read(CLUSTERS).json("clusters")["tasks"] if task["group"] == group}
    sources, current = _sources(lake, group, tasks, settings), lake.read(EXAMPLES, group)
    inputs = digest(VERSION, list(tasks.values()), sources, settings.model_dump(include=SETTINGS))
    if current is None or current.inputs != inputs:
        read, count = partial(_group_calls, lake, group), _token_counter(settings)
        gathered = gather(sources, read, tasks, settings, count, _gathered(current))
        examples, left_out, summary = build_examples(gathered, settings)
        described = group_tasks(list(tasks.values()), examples)
        contents = {"examples": examples, "left_out": left_out, "days": gathered.days, "tasks": described, "summary": summary}
        current = lake.write(EXAMPLES, group, contents, inputs, version=version_of(examples, described))
    return dg.MaterializeResult(
        metadata=examples_panel(current.json("summary"), current.digest), data_version=dg.DataVersion(current.digest)
    )


def _sources(lake: Lake, group: str, tasks: dict[str, Json], settings: Settings) -> dict[str, str]:
    """For each day that has calls of the group a digest of all that its rows are made from."""
    from slm_pipeline.s3_cluster.example_rows import rows_digest

    common, sources = rows_digest(tasks.values(), settings), {}
    for day in lake.partitions(ASSIGNMENTS):
        assigned = _assigned(lake, group, day)
        if len(assigned):
            sources[day] = digest(common, lake.read(CURATED, day).digest, json.loads(assigned.to_json(orient="split")))
    if not sources:
        raise dg.Failure(f"No call is assigned to group {group}: it may be retired; materialise task_assignments for all days first.")
    return sources


def _assigned(lake: Lake, group: str, day: str) -> pd.DataFrame:
    written = lake.read(ASSIGNMENTS, day)
    assigned = pd.concat([written.table(name, ["id", "task", "group"]) for name in ("assignments", "canaries")], ignore_index=True)
    return assigned.loc[assigned["group"] == group, ["id", "task"]]


def _group_calls(lake: Lake, group: str, day: str) -> pd.DataFrame:
    """The curated calls of a group on one day and the planted copies among them, with their task."""
    written = lake.read(CURATED, day)
    calls = pd.concat([written.table("calls"), written.table("canaries").drop(columns="leaked")], ignore_index=True)
    return calls.merge(_assigned(lake, group, day), on="id", validate="one_to_one")


def _gathered(current: Artefact | None):
    """The rows that the current version was chosen from; None if there is none, or one that did not keep them."""
    from slm_pipeline.s3_cluster.examples import stored

    if current is None or "days.json" not in current.files:
        return None
    return stored(current.table("examples"), current.table("left_out"), current.json("days"))


def _token_counter(settings: Settings):
    from slm_pipeline.prompting import token_ids
    from slm_pipeline.s4_select.base_models import ensure_base

    folder = ensure_base(settings.base_models[0], settings).folder
    return lambda text: len(token_ids(text, folder))
