"""Checks of S3."""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.s3_cluster.assets import CLUSTERS, EXAMPLES, task_clusters, task_examples
from slm_pipeline.settings import get_settings


@dg.asset_check(asset=task_clusters)
def groups_have_enough_calls() -> dg.AssetCheckResult:
    """Every group has at least `min_group_calls` training calls."""
    settings = get_settings()
    groups = Lake(settings.lake).read(CLUSTERS).json("clusters")["groups"]
    small = {group["key"]: group["train_calls"] for group in groups if group["train_calls"] < settings.min_group_calls}
    metadata = {"groups": len(groups), "too_small": small, "threshold": settings.min_group_calls}
    return dg.AssetCheckResult(passed=not small, metadata=metadata)


@dg.asset_check(asset=task_clusters)
def assignment_agrees_with_clustering() -> dg.AssetCheckResult:
    """The calls that clustering saw are recognised from the prompt alone as what clustering made of them."""
    from slm_pipeline.s3_cluster.clustering import agreement

    settings = get_settings()
    artefact = Lake(settings.lake).read(CLUSTERS)
    sample, members = artefact.table("sample"), artefact.table("members")
    share = agreement(sample, dict(zip(members["id"], members["task"], strict=True)), artefact.json("clusters"))
    metadata = {"agreement": share, "calls": len(sample), "threshold": settings.min_assignment_agreement}
    return dg.AssetCheckResult(passed=share >= settings.min_assignment_agreement, metadata=metadata)


@dg.asset_check(asset=task_clusters)
def only_training_calls_are_clustered() -> dg.AssetCheckResult:
    """No call of the validation, calibration or test split was seen by clustering."""
    splits = Lake(get_settings().lake).read(CLUSTERS).table("sample", ["split"])["split"].value_counts().to_dict()
    return dg.AssetCheckResult(passed=set(splits) <= {"train"}, metadata={"splits": splits, "threshold": 0})


@dg.asset_check(asset=task_examples)
def examples_leak_nothing(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No session has examples in two splits, and no training example asks what a test example asks."""
    examples = Lake(get_settings().lake).read(EXAMPLES, context.op_execution_context.partition_key).table("examples")
    torn = int((examples.groupby("session_id")["split"].nunique() > 1).sum())
    asked = {split: set(part["task"] + part["messages"]) for split, part in examples.groupby("split")}
    shared = len(asked.get("train", set()) & asked.get("test", set()))
    metadata = {"torn_sessions": torn, "training_asks_test": shared, "threshold": 0}
    return dg.AssetCheckResult(passed=not torn and not shared, metadata=metadata)
