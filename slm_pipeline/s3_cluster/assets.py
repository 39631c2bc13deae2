"""S3 in the asset graph."""

import json

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Lake, digest
from slm_pipeline.partitions import days, groups
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.panels import assignment_panel, clusters_panel, example_prompts, examples_panel
from slm_pipeline.settings import Settings, get_settings

CLUSTERS = "s3_cluster/task_clusters"
ASSIGNMENTS = "s3_cluster/task_assignments"
EXAMPLES = "s3_cluster/task_examples"
OWNERS = ["team:slm-pipeline"]
CLUSTER_SETTINGS = {
    "seed",
    "cluster_sample",
    "min_task_calls",
    "own_group_calls",
    "min_group_calls",
    "min_text_calls",
    "tail_coverage",
    "same_task_overlap",
}


@dg.asset(deps=["curated_calls"], group_name="s3_cluster", owners=OWNERS, kinds={"scikitlearn"})
def task_clusters(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """The tasks that the agents' calls fall into, found in a sample of training calls, and the groups that are trained together.

    A task is recognisable from the prompt alone: by system prompt and tools, by the first words of a templated prompt, or by
    its wording. Keys stay when tasks are found again. Every group becomes a partition.
    """
    from slm_pipeline.s3_cluster.clustering import VERSION, find_clusters, sample_training

    settings, lake = get_settings(), Lake(get_settings().lake)
    curated = [lake.read(CURATED, day) for day in lake.partitions(CURATED)]
    current = lake.read(CLUSTERS)
    inputs = digest(VERSION, [artefact.digest for artefact in curated], settings.model_dump(include=CLUSTER_SETTINGS))
    if current is None or current.inputs != inputs:
        sample = sample_training((artefact.table("calls") for artefact in curated), settings)
        clusters, found = find_clusters(sample, current and current.json("clusters"), settings)
        members = pd.DataFrame({"id": sorted(found), "task": [found[id_] for id_ in sorted(found)]}, dtype="str")
        contents = {"clusters": clusters, "members": members, "sample": sample[["id"]], "prompts": example_prompts(sample, found, clusters)}
        current = lake.write(CLUSTERS, None, contents, inputs)
    clusters = current.json("clusters")
    context.instance.add_dynamic_partitions(groups.name, [group["key"] for group in clusters["groups"]])
    return dg.MaterializeResult(metadata=clusters_panel(clusters, current.json("prompts")), data_version=dg.DataVersion(current.digest))


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
    from slm_pipeline.s3_cluster.assignment import assign_calls

    lake = Lake(get_settings().lake)
    artefact = lake.read(CLUSTERS)
    clusters = artefact.json("clusters") if artefact else None
    for day in context.partition_keys:
        curated, current = lake.read(CURATED, day), lake.read(ASSIGNMENTS, day)
        inputs = curated and digest(curated.digest, clusters and clusters["fingerprint"])
        if curated and (current is None or current.inputs != inputs):
            current = lake.write(ASSIGNMENTS, day, {"assignments": assign_calls(curated.table("calls"), clusters)}, inputs)
        table = current.table("assignments") if current else None
        context.add_asset_metadata(assignment_panel(table), partition_key=day)


@dg.asset(deps=["task_assignments", "task_clusters"], partitions_def=groups, group_name="s3_cluster", owners=OWNERS, kinds={"parquet"})
def task_examples(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A group's examples by split, with the static part of the prompt taken away; what repeats itself is thinned from training.

    Calls of the training split on which an SLM failed are among the training examples, marked as failed.
    """
    from slm_pipeline.s3_cluster.examples import build_examples, group_tasks

    settings, lake, group = get_settings(), Lake(get_settings().lake), context.partition_key
    clusters = lake.read(CLUSTERS).json("clusters")
    tasks = [task for task in clusters["tasks"] if task["group"] == group]
    calls, sources = _group_calls(lake, group)
    current = lake.read(EXAMPLES, group)
    inputs = digest(tasks, sources, settings.max_answer_tokens, settings.base_models[0])
    if current is None or current.inputs != inputs:
        examples, summary = build_examples(calls, {task["key"]: task for task in tasks}, settings, _token_counter(settings))
        contents = {"examples": examples, "tasks": group_tasks(tasks, examples, calls), "summary": summary}
        current = lake.write(EXAMPLES, group, contents, inputs)
    return dg.MaterializeResult(
        metadata=examples_panel(current.json("summary"), current.digest), data_version=dg.DataVersion(current.digest)
    )


def _group_calls(lake: Lake, group: str) -> tuple[pd.DataFrame, list[str]]:
    """The curated calls of a group with their task, and the digests of the days that have any."""
    tables, sources = [], []
    for day in lake.partitions(ASSIGNMENTS):
        assigned = lake.read(ASSIGNMENTS, day).table("assignments")
        assigned = assigned.loc[assigned["group"] == group, ["id", "task"]]
        if len(assigned):
            curated = lake.read(CURATED, day)
            tables.append(curated.table("calls").merge(assigned, on="id", validate="one_to_one"))
            sources.append(digest(curated.digest, json.loads(assigned.to_json(orient="split"))))
    if not tables:
        raise dg.Failure(f"No call is assigned to group {group}: it may be retired; materialise task_assignments for all days first.")
    return pd.concat(tables, ignore_index=True), sources


def _token_counter(settings: Settings):
    from slm_pipeline.prompting import token_ids
    from slm_pipeline.s4_select.base_models import ensure_base

    folder = ensure_base(settings.base_models[0], settings).folder
    return lambda text: len(token_ids(text, folder))
