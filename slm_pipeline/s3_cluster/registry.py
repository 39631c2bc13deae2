"""Keys of tasks that outlive re-clustering: old and new tasks are matched, and what matches keeps its key and name."""

from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import Assigner
from slm_pipeline.s3_cluster.naming import slug


def keep_keys(tasks: list[Json], members: list[set[str]], previous: Json | None, requests: dict[str, Json], least: float) -> list[Json]:
    """Set `key`, `name` and `slug` of every task; return the changes.

    `members`: ids of each task's calls; `requests`: by id, all sampled calls. The old tasks claim the sampled calls that they
    would be assigned; optimal assignment (Hungarian method) on the overlap 2|A∩B|/(|A|+|B|), at least `least`, matches. A task
    of the very same structure and prompt prefix is the same task whatever its members.
    """
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    old = previous["tasks"] if previous else []
    claimed = _claimed(previous, requests)
    scores = np.array(
        [[_overlap(task, ids, other, claimed[other["key"]]) for other in old] for task, ids in zip(tasks, members, strict=True)]
    )
    pairs = zip(*linear_sum_assignment(-scores), strict=True) if scores.size else ()
    kept = {int(i): old[j] for i, j in pairs if scores[i, j] >= least}
    for i, task in enumerate(tasks):
        same = kept.get(i)
        task["name"] = same["name"] if same else task["name"]
    taken = {other["name"] for other in kept.values()}
    for i, task in enumerate(tasks):
        if i not in kept:
            task["name"] = _free(task["name"], taken)
            taken.add(task["name"])
        task["slug"] = slug(task["name"])
        task["key"] = kept[i]["key"] if i in kept else f"{task['slug']}-{task['identity']}"
        del task["identity"]
    still = {task["key"] for task in tasks}
    changes = [{"kind": "keep" if i in kept else "new", "key": task["key"]} for i, task in enumerate(tasks)]
    changes += [{"kind": "retire", "key": other["key"]} for other in old if other["key"] not in still]
    return sorted(changes, key=lambda change: (change["kind"], change["key"]))


def _claimed(previous: Json | None, requests: dict[str, Json]) -> dict[str, set[str]]:
    if previous is None:
        return {}
    claimed: dict[str, set[str]] = {task["key"]: set() for task in previous["tasks"]}
    assigner = Assigner(previous)
    for id_, request in requests.items():
        if task := assigner.assign(request).task:
            claimed[task].add(id_)
    return claimed


def _overlap(task: Json, ids: set[str], other: Json, claimed: set[str]) -> float:
    if task["kind"] != "text" and all(task[key] == other[key] for key in ("kind", "structure", "prefix", "tail")):
        return 2.0
    return 2 * len(ids & claimed) / (len(ids) + len(claimed))


def _free(name: str, taken: set[str]) -> str:
    number = 1
    while (found := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    return found
