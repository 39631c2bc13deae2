"""`slm bench cluster`: tasks found without labels, compared with labels; and how they hold when data arrives."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from time import perf_counter

import pandas as pd

from slm_pipeline.answers import functions_of
from slm_pipeline.bench._rows import read_rows
from slm_pipeline.bench._templated import generated_calls
from slm_pipeline.records import Json, response_answer
from slm_pipeline.s3_cluster.assignment import Assigner
from slm_pipeline.s3_cluster.clustering import find_clusters
from slm_pipeline.settings import Settings

LEAST = 5  # calls of a label that counts
GENERATED, GROWTH, FRESH = 5_000, 1_000, 2_000
NO_ANSWER = {"text": "", "tool_calls": []}


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `cluster`. Clustering sees every call as a training call of one agent, and no label.

    `data`: a folder, or a file, of calls with `task_labels.jsonl.gz` beside them (folders below are taken together), or a file of
    {id, text, label}, whose number of labels is given to the clustering of texts. Without data: generated templates. `kept_share` and
    `planted_found` always come from generated templates: a fifth more calls, half of them of a new one.
    """
    if data is not None and data.is_file() and "text" in (rows := list(read_rows(data)))[0]:
        found = _texts(rows, settings)
    else:
        found = _calls(_labelled(data) if data else _generated(settings.seed, GENERATED), settings)
    if data is None:
        found |= _accuracy(settings)
    return found | _growth(settings) | {"seed": settings.seed}


def _texts(rows: list[Json], settings: Settings) -> Json:
    from slm_pipeline.s3_cluster.density import clusters_of_number

    labels = [row["label"] for row in rows]
    began = perf_counter()
    found = clusters_of_number([row["text"] for row in rows], len(set(labels)), settings)
    seconds = perf_counter() - began
    return _agreement(labels, list(map(str, found))) | {
        "n": len(rows),
        "tasks": len(set(found)),
        "unassigned_share": 0.0,
        "assignment_accuracy": None,
        "assign_p99_ms": None,
        "cluster_ms_per_call": round(1e3 * seconds / len(rows), 3),
    }


def _calls(calls: list[Json], settings: Settings) -> Json:
    sample = _table(calls)
    began = perf_counter()
    clusters, found = find_clusters(sample, None, settings)
    seconds = perf_counter() - began
    counts = Counter(call["task"] for call in calls if call["task"])
    counted = [call for call in calls if counts[call["task"]] >= LEAST]
    labelled = [call for call in calls if call["task"]]
    assigned, times = _assigned(clusters, calls)
    return _agreement([call["task"] for call in counted], [found.get(call["id"], "unassigned") for call in counted]) | {
        "n": len(calls),
        "labelled": len(counted),
        "tasks": len(clusters["tasks"]),
        "groups": len(clusters["groups"]),
        "unassigned_share": _share(call["id"] not in found for call in counted),
        "unassigned_share_labelled": _share(call["id"] not in found for call in labelled),
        "unassigned_share_all": clusters["unassigned_share"],
        "mixed_tasks": _mixed(calls, found),
        "breakdown_error": _breakdown_error(calls, clusters, found),
        "assignment_accuracy": _share(assigned[call["id"]] == found.get(call["id"]) for call in calls),
        "assign_p99_ms": round(sorted(times)[int(0.99 * len(times))], 4),
        "cluster_ms_per_call": round(1e3 * seconds / len(calls), 3),
    }


def _accuracy(settings: Settings) -> Json:
    """Fresh calls of the same templates: right where they go to the task that most clustered calls of their template went to."""
    calls = _generated(settings.seed, GENERATED)
    clusters, found = find_clusters(_table(calls), None, settings)
    homes: dict[str, Counter] = defaultdict(Counter)
    for call in calls:
        homes[call["task"]][found.get(call["id"])] += 1
    fresh = _generated(settings.seed + 1, FRESH)
    assigned, times = _assigned(clusters, fresh)
    right = _share(assigned[call["id"]] == homes[call["task"]].most_common(1)[0][0] for call in fresh)
    return {"assignment_accuracy": right, "assign_p99_ms": round(sorted(times)[int(0.99 * len(times))], 4)}


def _growth(settings: Settings) -> Json:
    """A fifth more calls, half of them of a new template: what is found of it, and how many old calls keep their task."""
    old = _generated(settings.seed, GENERATED)
    more = generated_calls(GROWTH // 2, settings.seed + 2, planted=GROWTH // 2)
    planted = {call["id"] for call in more[GROWTH // 2 :]}
    first, before = find_clusters(_table(old), None, settings)
    _, after = find_clusters(_table(old + more), first, settings)
    known = {task["key"] for task in first["tasks"]}
    new = Counter(after[id_] for id_ in planted if id_ in after and after[id_] not in known)
    return {
        "kept_share": _share(after.get(call["id"]) == before.get(call["id"]) for call in old),
        "planted_found": round(max(new.values(), default=0) / len(planted), 4),
    }


def _agreement(labels: list[str], found: list[str]) -> Json:
    from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

    scores = {"ami": adjusted_mutual_info_score, "nmi": normalized_mutual_info_score, "ari": adjusted_rand_score}
    return {name: round(float(score(labels, found)), 4) for name, score in scores.items()}


def _assigned(clusters: Json, calls: list[Json]) -> tuple[dict[str, str | None], list[float]]:
    """Task by id, and the milliseconds that each took; the first call, which loads what is loaded once, is asked twice."""
    assigner = Assigner(clusters)
    assigner.assign(calls[0]["request"])
    assigned, times = {}, []
    for call in calls:
        began = perf_counter()
        assigned[call["id"]] = assigner.assign(call["request"]).task
        times.append(1e3 * (perf_counter() - began))
    return assigned, times


def _mixed(calls: list[Json], found: dict[str, str]) -> int:
    """Tasks that hold calls of several agents."""
    agents: dict[str, set[str]] = defaultdict(set)
    for call in calls:
        if call["id"] in found:
            agents[found[call["id"]]].add(call["agent"])
    return sum(len(several) > 1 for several in agents.values())


def _breakdown_error(calls: list[Json], clusters: Json, found: dict[str, str]) -> float | None:
    """Greatest difference between a share in a task's breakdown of actions and the share of that label among its calls.

    For tasks whose labels all name a tool of the task (what stands before a colon aside) or `reply`; None if there are none.
    """
    labels: dict[str, Counter] = defaultdict(Counter)
    for call in calls:
        if call["id"] in found and call["task"]:
            labels[found[call["id"]]][call["task"].rpartition(":")[2]] += 1
    errors = []
    for task in clusters["tasks"]:
        tools = {function["name"] for function in functions_of(task["tools"])}
        if tools and (counts := labels.get(task["key"])) and counts.keys() <= tools | {"reply"}:
            shares = {name: share for name, share in task["actions"].items() if name not in ("text", "json")}
            shares["reply"] = sum(task["actions"].get(name, 0.0) for name in ("text", "json"))
            errors += [abs(shares.get(name, 0.0) - counts[name] / counts.total()) for name in {*shares, *counts}]
    return round(max(errors), 4) if errors else None


def _table(calls: list[Json]) -> pd.DataFrame:
    rows = [{"id": c["id"], "agent": "", "request": json.dumps(c["request"]), "answer": json.dumps(c["answer"])} for c in calls]
    return pd.DataFrame(rows, columns=["id", "agent", "request", "answer"])


def _generated(seed: int, count: int) -> list[Json]:
    return generated_calls(count, seed)


def _labelled(data: Path) -> list[Json]:
    """The calls below a folder (or of a file) with their labels, None where there is no label."""
    files = sorted(data.rglob("calls.jsonl.gz")) if data.is_dir() else [data]
    calls = []
    for file in files:
        labels = {line["id"]: line["task"] for line in read_rows(file.parent / "task_labels.jsonl.gz")}
        for line in read_rows(file):
            answer = response_answer(line["response"])
            tools = [{"name": call.name, "arguments": call.arguments} for call in answer.tool_calls] if answer else []
            said = {"text": answer.text, "tool_calls": tools} if answer else NO_ANSWER
            made = {"id": line["id"], "agent": line["agent"], "request": line["request"], "answer": said}
            calls.append(made | {"task": labels.get(line["id"])})
    return calls


def _share(conditions) -> float:
    listed = list(conditions)
    return round(sum(listed) / len(listed), 4) if listed else 0.0
