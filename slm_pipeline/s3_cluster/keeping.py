"""What stays as it is when tasks are looked for again, and when that is due."""

import json
from collections import Counter

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import RECOGNISER, STATIC, Assigner
from slm_pipeline.s3_cluster.parts import found_tasks
from slm_pipeline.settings import Settings

FITS = 0.98  # share of a task's calls that the recogniser it had must still claim
GROWTH = 0.2  # new calls, as a share of those that were clustered, from which tasks are looked for again
GATHERED = 0.01  # unassigned new calls, as a share of the sample, from which they may hold a task


def keep_recognisers(tasks: list[Json], members: list[set[str]], previous: Json | None, requests: dict[str, Json]) -> list[Json]:
    """The tasks, each with the recogniser it had in `previous` where that still fits, so that no call is assigned anew for nothing.

    It fits if it claims nearly all of the task's calls and none of another task's. `members`: ids of each task's calls; `requests`:
    by id, all sampled calls.
    """
    old = {task["key"]: task for task in found_tasks(previous)}
    if not any(task["key"] in old for task in tasks):
        return tasks
    assigner = Assigner({"tasks": list(old.values())})
    claimed = {id_: assigner.assign(request).task for id_, request in requests.items()}
    kept = []
    totals = Counter(claimed[id_] for ids in members for id_ in ids)
    for task, ids in zip(tasks, members, strict=True):
        own = sum(claimed[id_] == task["key"] for id_ in ids)
        fits = task["key"] in old and own >= FITS * len(ids) and totals[task["key"]] == own
        names = (*RECOGNISER, *STATIC, "identity", "slots", "template_version")
        kept.append(task | {name: old[task["key"]].get(name) for name in names} if fits else task)
    return kept


def reclustering_due(sample: pd.DataFrame, sampled_before: set[str], clusters: Json | None, settings: Settings) -> str | None:
    """Why tasks should be looked for again, or None.

    `sample`: columns id and request; `sampled_before`: ids that `clusters` were made from. Changed settings and code are for the
    caller to notice.
    """
    if clusters is None:
        return "first clustering"
    new = sample[~sample["id"].isin(sampled_before)]
    if len(new) >= GROWTH * max(len(sampled_before), 1):
        return f"{len(new)} new calls beside {len(sampled_before)}"
    assigner = Assigner(clusters)
    unassigned = sum(assigner.assign(json.loads(request)).task is None for request in new["request"])
    if unassigned >= max(settings.min_task_calls, GATHERED * len(sample)):
        return f"{unassigned} new calls belong to no task"
    return None
