"""Keys of tasks and groups that outlive re-clustering: what is found again keeps its key, and no key ever gets another meaning."""

from collections.abc import Callable, Sequence

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import Assigner
from slm_pipeline.s3_cluster.naming import free_name, slug, static_text
from slm_pipeline.s3_cluster.parts import found_tasks

ALIKE = 0.9  # from 0 to 1: an edited prompt is more alike than that to what it was
COMPARED = range(200, 4_000)  # characters of a prompt's static part: in a shorter one a single word may be another task
DESCRIBING = ("agents", "tools", "response_format", "train_calls", "actions", "answer_form", "turns", "about", "slots")


def keep_keys(tasks: list[Json], members: list[set[str]], previous: Json | None, requests: dict[str, Json], least: float) -> list[Json]:
    """Set `key`, `name` and `slug` of every task; return the changes, each {kind, key, from}.

    `members`: ids of each task's calls; `requests`: by id, all sampled calls. The old tasks claim the sampled calls that they
    would be assigned; optimal assignment (Hungarian method, scipy's linear_sum_assignment) on the overlap 2|A∩B|/(|A|+|B|), at
    least `least`, matches. A task of the very same `identity` (recogniser) is the same task whatever its members; one that
    claims no call any more goes on as the new task whose centroid or static text is at least `ALIKE` to its own: an edited prompt.

    Kinds: keep; split (most of its calls were another task's, which goes on or fell apart); merge (`from` names all that went
    into it); return (a retired task is back, with its key); new; retire. A task that has a key already (it is pinned) keeps it.
    """
    pairs = sorted(zip(tasks, members, strict=True), key=lambda pair: pair[0]["identity"])
    tasks, members = [task for task, _ in pairs], [ids for _, ids in pairs]
    old = sorted(found_tasks(previous), key=lambda task: task["key"])
    claimed = _claimed(old, requests)
    kept = _kept(tasks, members, old, claimed, least)
    lost = previous.get("retired", []) if previous else []
    returned = _returned(tasks, members, [task for task in lost if "structure" in task], requests, least, kept)
    named = {task["name"] for task in previous["tasks"]} if previous else set()  # a person may have given one of these
    _set_keys(tasks, kept | returned, {task["key"] for task in [*old, *lost]}, named)
    return _changes(tasks, members, old, claimed, kept, returned, least)


def retired(tasks: Sequence[Json], previous: Json | None) -> list[Json]:
    """All tasks that once had a key and have it no more, as far as recognising them takes; sorted by key."""
    known = {task["key"]: task for task in [*(previous.get("retired", []) if previous else []), *found_tasks(previous)]}
    for task in tasks:
        known.pop(task["key"], None)
    return [{name: value for name, value in known[key].items() if name not in DESCRIBING} for key in sorted(known)]


def only_keys(gone: Sequence[Json]) -> list[Json]:
    """Retired tasks without what recognises them, which may quote a prompt: none returns, but no key is used again."""
    return [{"key": task["key"]} for task in gone]


def _kept(tasks: list[Json], members: list[set[str]], old: list[Json], claimed: dict[str, set[str]], least: float) -> dict[int, Json]:
    """Which old task each task is, by index: by members first, then what lost all members by centroid or wording."""
    by_key = {other["key"]: other for other in old}
    kept = {i: by_key[task["key"]] for i, task in enumerate(tasks) if "key" in task}
    free = [other for other in old if other["key"] not in {task.get("key") for task in tasks}]
    open_ = [i for i in range(len(tasks)) if i not in kept]
    kept |= _assigned(open_, free, lambda i, other: _overlap(tasks[i], members[i], other, claimed[other["key"]]), least)
    taken = {other["key"] for other in kept.values()}
    silent = [other for other in free if other["key"] not in taken and not claimed[other["key"]]]
    fresh = [i for i in open_ if i not in kept and not any(members[i] & ids for ids in claimed.values())]
    return kept | _assigned(fresh, silent, lambda i, other: _likeness(tasks[i], other), ALIKE)


def _returned(
    tasks: list[Json], members: list[set[str]], lost: list[Json], requests: dict[str, Json], least: float, kept: dict[int, Json]
) -> dict[int, Json]:
    fresh = [i for i in range(len(tasks)) if i not in kept]
    ids = sorted(set().union(*(members[i] for i in fresh)))
    claimed = _claimed(lost, {id_: requests[id_] for id_ in ids} if lost else {})
    return _assigned(fresh, lost, lambda i, other: _overlap(tasks[i], members[i], other, claimed[other["key"]]), least)


def _assigned(new: list[int], old: list[Json], score: Callable[[int, Json], float], least: float) -> dict[int, Json]:
    """Which old one each new one is: the optimal one-to-one assignment, without pairs that score less than `least`."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    scores = np.array([[score(i, other) for other in old] for i in new])
    pairs = zip(*linear_sum_assignment(-scores), strict=True) if scores.size else ()
    return {new[i]: old[j] for i, j in pairs if scores[i, j] >= least}


def _set_keys(tasks: list[Json], same: dict[int, Json], known: set[str], named: set[str]) -> None:
    for i, other in same.items():
        tasks[i]["name"] = other["name"]
    names = named | {other["name"] for other in same.values()}
    for i, task in enumerate(tasks):
        if i not in same:
            task["name"] = free_name(task["name"], names)
            names.add(task["name"])
        if i in same:
            task["key"] = same[i]["key"]
        else:
            task["key"] = _free_key(slug(task["name"]), task["identity"], known)
            known.add(task["key"])
        task["slug"] = task["key"].rpartition("-")[0]


def _changes(
    tasks: list[Json],
    members: list[set[str]],
    old: list[Json],
    claimed: dict[str, set[str]],
    kept: dict[int, Json],
    returned: dict[int, Json],
    least: float,
) -> list[Json]:
    still = {other["key"] for other in kept.values()}
    changes, merged = [], set()
    for i, (task, ids) in enumerate(zip(tasks, members, strict=True)):
        into = [key for key, its in claimed.items() if key not in still and its and len(its & ids) >= least * len(its)]
        parents = [key for key, its in claimed.items() if ids and len(its & ids) >= least * len(ids)]
        if into and (i in kept or len(into) > 1):
            merged.update(into)
            changes.append({"kind": "merge", "key": task["key"], "from": sorted({*into, *([task["key"]] if i in kept else [])})})
        elif i in kept or i in returned:
            changes.append({"kind": "keep" if i in kept else "return", "key": task["key"], "from": [task["key"]]})
        else:
            changes.append({"kind": "split" if parents else "new", "key": task["key"], "from": sorted(parents)})
    gone = [other["key"] for other in old if other["key"] not in still | merged]
    changes += [{"kind": "retire", "key": key, "from": [key]} for key in gone]
    return sorted(changes, key=lambda change: (change["kind"], change["key"]))


def keep_group_keys(groups: list[Json], tasks: Sequence[Json], previous: Json | None, least: float) -> tuple[list[Json], list[Json]]:
    """The groups with the keys that they keep, sorted by key, and the changes; sets `group` of every task that is in one.

    A task's own group has the task's key, always. Groups of several kinds of small tasks are matched like tasks: by the share of
    their calls whose tasks are in both (mean of both directions), where the same structure and form of answer adds `least`.
    `identity`: the key by structure and form alone, which a new group gets unless that key means another group by now.
    """
    before = {group["key"]: group for group in (previous["groups"] if previous else [])}
    lost = {group["key"]: group["identity"] for group in (previous.get("retired_groups", []) if previous else [])}
    calls = {task["key"]: task["train_calls"] for task in tasks}
    calls_before = {task["key"]: task["train_calls"] for task in (previous["tasks"] if previous else [])}
    groups = [group | {"identity": group["key"]} for group in groups]
    shared = [i for i, group in enumerate(groups) if group["key"] not in calls]
    old = [group for key, group in sorted(before.items()) if key not in group["tasks"]]

    def score(i: int, other: Json) -> float:
        same = groups[i]["identity"] == other.get("identity", other["key"])
        return _common(groups[i]["tasks"], other["tasks"], calls, calls_before) + least * same

    kept = _assigned(shared, old, score, least)
    used = {other["key"] for other in kept.values()}
    for i in shared:
        means_another = {key for key, identity in lost.items() if identity != groups[i]["identity"]} | used | before.keys()
        name, _, code = groups[i]["identity"].rpartition("-")
        groups[i]["key"] = kept[i]["key"] if i in kept else _free_key(name, code, means_another)
        used.add(groups[i]["key"])
    of = {key: group["key"] for group in groups for key in group["tasks"]}
    for task in tasks:
        task["group"] = of.get(task["key"])
    return sorted(groups, key=lambda group: group["key"]), _group_changes(groups, before, lost)


def retired_groups(groups: Sequence[Json], previous: Json | None) -> list[Json]:
    """Keys of groups that are no more, each with its identity; sorted by key."""
    known = [*(previous.get("retired_groups", []) if previous else []), *(previous["groups"] if previous else [])]
    gone = {group["key"]: group.get("identity", group["key"]) for group in known}
    for group in groups:
        gone.pop(group["key"], None)
    return [{"key": key, "identity": gone[key]} for key in sorted(gone)]


def _group_changes(groups: list[Json], before: dict[str, Json], lost: dict[str, str]) -> list[Json]:
    now = {group["key"]: set(group["tasks"]) for group in groups}
    origin = {key: group["key"] for group in before.values() for key in group["tasks"]}
    changes, merged = [], set()
    for key, its in now.items():
        parents = {origin[task] for task in its if task in origin}
        into = {parent for parent in parents - now.keys() if set(before[parent]["tasks"]) <= its}
        if key in before and into:
            changes.append({"kind": "merge group", "key": key, "from": sorted({key, *into})})
            merged |= into
        elif key in before or key in lost:
            changes.append({"kind": "keep group" if key in before else "return group", "key": key, "from": [key]})
        else:
            whole = all(task in origin for task in its)
            changes.append({"kind": "split group" if whole else "new group", "key": key, "from": sorted(parents) if whole else []})
    gone = before.keys() - now.keys() - merged
    changes += [{"kind": "retire group", "key": key, "from": [key]} for key in gone]
    return sorted(changes, key=lambda change: (change["kind"], change["key"]))


def _claimed(old: list[Json], requests: dict[str, Json]) -> dict[str, set[str]]:
    claimed: dict[str, set[str]] = {task["key"]: set() for task in old}
    assigner = Assigner({"tasks": old})
    for id_, request in requests.items() if old else ():
        if task := assigner.assign(request).task:
            claimed[task].add(id_)
    return claimed


def _overlap(task: Json, ids: set[str], other: Json, claimed: set[str]) -> float:
    if task["identity"] == other.get("identity"):
        return 2.0
    return 2 * len(ids & claimed) / max(len(ids) + len(claimed), 1)


def _likeness(task: Json, other: Json) -> float:
    """Cosine of the centroids of two tasks found by text, else the normalised Indel similarity of the static texts; from 0 to 1."""
    import numpy as np
    from rapidfuzz import fuzz

    if task["kind"] != other["kind"]:
        return 0.0
    if task["kind"] == "text":
        return float(np.dot(task["centroid"], other["centroid"])) if len(task["centroid"]) == len(other["centroid"]) else 0.0
    mine, its = (static_text(one)[: COMPARED.stop].strip() for one in (task, other))
    return fuzz.ratio(mine, its) / 100 if min(len(mine), len(its)) >= COMPARED.start else 0.0


def _common(tasks: list[str], before: list[str], calls: dict[str, int], calls_before: dict[str, int]) -> float:
    both = set(tasks) & set(before)
    now, then = (sum(counts[key] for key in keys) for keys, counts in ((tasks, calls), (before, calls_before)))
    return (sum(calls[key] for key in both) / max(now, 1) + sum(calls_before[key] for key in both) / max(then, 1)) / 2


def _free_key(name: str, code: str, taken: set[str]) -> str:
    key, number = f"{name}-{code}", 1
    while key in taken:
        number += 1
        key = f"{name}-{digest(code, number)[:8]}"
    return key
