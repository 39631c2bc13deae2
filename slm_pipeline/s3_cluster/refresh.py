"""Brings `task_clusters` up to date: the sample always, the tasks only when something asks for it, so that a day costs a day."""

import json

import pandas as pd

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.decisions import read_decisions
from slm_pipeline.s3_cluster.sampling import update_sample
from slm_pipeline.s3_cluster.traffic import ASSIGNMENTS
from slm_pipeline.settings import Settings

CLUSTERS = "s3_cluster/task_clusters"
ASSIGNMENT_VERSION = 2  # raise it when a day's files change their form
SAMPLING = {"seed", "cluster_sample"}
CLUSTERING = SAMPLING | {
    "min_task_calls",
    "own_group_calls",
    "min_group_calls",
    "min_text_calls",
    "tail_coverage",
    "embedding",
    "same_task_overlap",
}


def assignment_inputs(curated: Artefact, clusters: Json | None) -> str:
    """The digest of all that a day's assignments are made from."""
    return digest(ASSIGNMENT_VERSION, curated.digest, clusters and clusters["fingerprint"])


def days_to_assign(lake: Lake) -> list[str]:
    """The days whose assignments are not of the newest curated calls and tasks, sorted; reads no calls."""
    written = lake.read(CLUSTERS)
    clusters = written.json("clusters") if written else None
    stale = []
    for day in lake.partitions(CURATED):
        assigned = lake.read(ASSIGNMENTS, day)
        if assigned is None or assigned.inputs != assignment_inputs(lake.read(CURATED, day), clusters):
            stale.append(day)
    return stale


def refresh_clusters(lake: Lake, settings: Settings) -> tuple[Artefact, str | None]:
    """The newest clusters, and why tasks were looked for anew; None: nothing asked for it, only the sample may have changed."""
    from slm_pipeline.s3_cluster.clustering import VERSION
    from slm_pipeline.s3_cluster.keeping import reclustering_due

    days = {day: lake.read(CURATED, day) for day in lake.partitions(CURATED)}
    seen, decisions = {day: artefact.digest for day, artefact in days.items()}, read_decisions(lake)
    current = lake.read(CLUSTERS)
    basis = digest(VERSION, settings.model_dump(include=CLUSTERING), decisions)
    if current and current.inputs == digest(basis, seen):
        return current, None
    # `slm erase` leaves nothing but the clusters
    state = current.json("state") if current and "state.json" in current.files else None
    clusters = current.json("clusters") if current else None
    if clusters and clusters["version"] != VERSION:
        clusters = state = None  # tasks of another form cannot be matched: they are found as if for the first time
    sampling = settings.model_dump(include=SAMPLING)
    before = current.table("sample") if state and state["sampling"] == sampling else None
    sample = update_sample(before, state["seen"] if state else {}, days, settings)
    if state is None:
        reason = "first clustering" if clusters is None else "calls were erased"
    elif state["basis"] != basis:
        reason = "settings, code or a person's decisions changed"
    else:
        reason = reclustering_due(sample, set(current.table("clustered")["id"]), clusters, settings)
    contents = _found_anew(sample, clusters, decisions, settings) if reason else _kept(sample, current, clusters)
    contents |= {"sample": sample, "state": {"seen": seen, "basis": basis, "sampling": sampling}}
    return lake.write(CLUSTERS, None, contents, digest(basis, seen)), reason


def _found_anew(sample: pd.DataFrame, previous: Json | None, decisions: list[Json], settings: Settings) -> dict:
    from slm_pipeline.s3_cluster.clustering import find_clusters
    from slm_pipeline.s3_cluster.task_map import map_points

    clusters, found = find_clusters(sample, previous, settings, decisions)
    return _described(sample, clusters, found) | {"clustered": sample[["id"]], "map": map_points(sample, found, settings.seed)}


def _kept(sample: pd.DataFrame, current: Artefact, clusters: Json) -> dict:
    """The same tasks; calls that are new in the sample are assigned as at run time."""
    from slm_pipeline.s3_cluster.assignment import Assigner

    assigner, known = Assigner(clusters), set(current.table("sample", ["id"])["id"])
    members = current.table("members")
    found = dict(zip(members["id"], members["task"], strict=True))
    for id_, request in zip(sample["id"], sample["request"], strict=True):
        if id_ not in known and (task := assigner.assign(json.loads(request)).task):
            found[id_] = task
    return _described(sample, clusters, found) | {name: current.table(name) for name in ("clustered", "map")}


def _described(sample: pd.DataFrame, clusters: Json, found: dict[str, str]) -> dict:
    from slm_pipeline.s3_cluster.panels import example_prompts

    members = sample.loc[sample["id"].isin(found), ["id"]]
    members = members.assign(task=members["id"].map(found)).astype("str")
    return {"clusters": clusters, "members": members, "prompts": example_prompts(sample, found, clusters)}
