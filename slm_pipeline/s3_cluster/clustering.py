"""Finds the tasks in a sample of training calls: structure first, then recurring prompt templates, then text.

A task is always recognisable from the prompt alone (`assignment.py` is the judge of that), and an agent loop with one call
site and many tools is one task. How the answers divide is only the task's breakdown of actions.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import PREFIX_WORDS, TAIL_WORDS, Assigner, fingerprint, words
from slm_pipeline.s3_cluster.grouping import form_groups
from slm_pipeline.s3_cluster.naming import name_tasks
from slm_pipeline.s3_cluster.registry import keep_keys
from slm_pipeline.s3_cluster.structure import is_multi_turn, loose_digest, structure_of
from slm_pipeline.s3_cluster.templates import mine, opening
from slm_pipeline.settings import Settings

VERSION = 1


@dataclass(frozen=True)
class Call:
    """One training call as clustering sees it. `system`: the static system prompt, None if it has none or it varies."""

    id: str
    agent: str
    request: Json
    answer: Json
    system: str | None
    structure: str
    variant: str
    opening: str


def sample_training(days: Iterable[pd.DataFrame], settings: Settings) -> pd.DataFrame:
    """At most `cluster_sample` usable training calls of the curated days, drawn by a seeded hash of the id, sorted by id.

    Bounded memory: one day and the sample. A call stays in the sample of a grown log or leaves it, independent of the others.
    """
    columns = ["id", "agent", "request", "answer", "split"]
    sample = pd.DataFrame({column: [] for column in [*columns, "rank"]}, dtype="str")
    for day in days:
        usable = day.loc[(day["split"] == "train") & day["drop_reason"].isna() & day["answer"].notna(), columns]
        usable = usable.assign(rank=[digest(settings.seed, id_) for id_ in usable["id"]])
        sample = pd.concat([sample, usable]).sort_values(["rank", "id"], kind="stable").head(settings.cluster_sample)
    return sample.drop(columns="rank").sort_values("id", ignore_index=True)


def find_clusters(sample: pd.DataFrame, previous: Json | None, settings: Settings) -> tuple[Json, dict[str, str]]:
    """clusters.json from `sample_training` and the previous clusters.json; and the task of each sampled call that has one."""
    calls = _read(sample, settings.min_task_calls)
    members = {_identity(task): (task, found) for task, found in _tasks(calls, settings)}
    tasks = [_described(task, found) for task, found in members.values()]
    name_tasks(tasks, [[call.opening for call in found] for _, found in members.values()])
    ids = [{call.id for call in found} for _, found in members.values()]
    changes = keep_keys(tasks, ids, previous, {call.id: call.request for call in calls}, settings.same_task_overlap)
    order = sorted(range(len(tasks)), key=lambda i: tasks[i]["key"])
    groups, ungrouped = form_groups([tasks[i] for i in order], settings)
    changes += group_changes(groups, previous)
    found = {id_: tasks[i]["key"] for i in order for id_ in ids[i]}
    share = 1 - len(found) / len(calls) if calls else 0.0
    clusters = {
        "version": VERSION,
        "tasks": [tasks[i] for i in order],
        "groups": groups,
        "ungrouped": ungrouped,
        "unassigned_share": round(share, 6),
        "sample": len(calls),
        "changes": changes,
    }
    return clusters | {"fingerprint": fingerprint(clusters)}, found


def group_changes(groups: list[Json], previous: Json | None) -> list[Json]:
    """What became of the groups: new and retired keys."""
    old, new = {group["key"] for group in (previous or {"groups": []})["groups"]}, {group["key"] for group in groups}
    return [{"kind": f"{kind} group", "key": key} for kind, keys in (("new", new - old), ("retire", old - new)) for key in sorted(keys)]


def agreement(sample: pd.DataFrame, found: dict[str, str], clusters: Json) -> float:
    """Share of the sampled calls that the Assigner, from the prompt alone, puts where clustering put them."""
    assigner = Assigner(clusters)
    same = [
        assigner.assign(json.loads(request)).task == found.get(id_) for id_, request in zip(sample["id"], sample["request"], strict=True)
    ]
    return sum(same) / len(same) if same else 1.0


def _read(sample: pd.DataFrame, least: int) -> list[Call]:
    """A system prompt without tools that hardly recurs is no static part: it is text like the rest of the prompt."""
    requests = [json.loads(request) for request in sample["request"]]
    structures = [structure_of(request) for request in requests]
    loose = [loose_digest(request, structure.system) for request, structure in zip(requests, structures, strict=True)]
    recurring = Counter(loose)
    calls = []
    for row, request, structure, key in zip(sample.itertuples(), requests, structures, loose, strict=True):
        if not request.get("tools") and recurring[key] < least:
            structure = structure_of(request, with_system=False)
            key = loose_digest(request, None)
        text = opening(request, structure.system)
        calls.append(Call(row.id, row.agent, request, json.loads(row.answer), structure.system, key, structure.exact, text))
    return calls


def _tasks(calls: list[Call], settings: Settings) -> Iterable[tuple[Json, list[Call]]]:
    by_structure: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_structure[call.structure].append(call)
    for structure, rest in sorted(by_structure.items()):
        variants = sorted({call.variant for call in rest})
        common = {
            "structure": structure,
            "variants": variants,
            "kind": "structure",
            "prefix": None,
            "tail": None,
            "centroid": None,
            "radius": None,
        }
        common |= {"system": rest[0].system, "text_prefix": "", "text_suffix": ""}
        if not rest[0].request.get("tools"):
            for prefix, tail, found in _templates(rest, settings):
                head, end = mine([call.opening for call in found])
                yield common | {"kind": "prefix", "prefix": prefix, "tail": tail, "text_prefix": head, "text_suffix": end}, found
                taken = {call.id for call in found}
                rest = [call for call in rest if call.id not in taken]
            if rest and rest[0].system is None:
                for centroid, radius, found in _texts(rest, settings):
                    yield common | {"kind": "text", "centroid": centroid, "radius": radius}, found
                continue
        if len(rest) >= settings.min_task_calls:
            yield common, rest


def _templates(calls: list[Call], settings: Settings) -> Iterable[tuple[str, str | None, list[Call]]]:
    """Recurring first words, longest first; cut further where the last words recur as well in nearly all of these calls."""
    rest = calls
    for count in PREFIX_WORDS:
        by_prefix: dict[str | None, list[Call]] = defaultdict(list)
        for call in rest:
            by_prefix[words(call.opening, count)].append(call)
        by_prefix.pop(None, None)
        recurring = {prefix: found for prefix, found in sorted(by_prefix.items()) if len(found) >= settings.min_task_calls}
        for prefix, found in recurring.items():
            yield from ((prefix, tail, part) for tail, part in _by_tail(found, settings))
        rest = [call for call in rest if words(call.opening, count) not in recurring]


def _by_tail(calls: list[Call], settings: Settings) -> list[tuple[str | None, list[Call]]]:
    tails: dict[str | None, list[Call]] = defaultdict(list)
    for call in calls:
        tails[words(call.opening, TAIL_WORDS, end=True)].append(call)
    tails.pop(None, None)
    recurring = {tail: found for tail, found in sorted(tails.items()) if len(found) >= settings.min_task_calls}
    if len(recurring) < 2 or sum(map(len, recurring.values())) < settings.tail_coverage * len(calls):
        return [(None, calls)]
    covered = {call.id for found in recurring.values() for call in found}
    others = [call for call in calls if call.id not in covered]
    return [*recurring.items(), *([(None, others)] if len(others) >= settings.min_task_calls else [])]


def _texts(calls: list[Call], settings: Settings) -> Iterable[tuple[list[float], float, list[Call]]]:
    """Density clusters of the remaining texts; radius: the distance that holds all but the outermost 5 % of the members.

    Members are then those that the nearest centroid within its radius claims, so that run time agrees.
    """
    if len(calls) < settings.min_text_calls:
        return
    import numpy as np
    from sklearn.cluster import HDBSCAN

    from slm_pipeline.s3_cluster.embedding import embed

    vectors = embed([call.opening for call in calls])
    labels = HDBSCAN(min_cluster_size=settings.min_text_calls, copy=True).fit_predict(vectors)
    if labels.max() < 0:
        return
    means = [vectors[labels == label].mean(axis=0) for label in range(labels.max() + 1)]
    centroids = np.round([mean / np.linalg.norm(mean) for mean in means], 6)
    distances = 1 - vectors @ centroids.T.astype(np.float32)
    radii = [round(float(np.quantile(distances[labels == label, label], 0.95)), 6) for label in range(len(centroids))]
    nearest = distances.argmin(axis=1)
    for label, (centroid, radius) in enumerate(zip(centroids, radii, strict=True)):
        found = [call for i, call in enumerate(calls) if nearest[i] == label and distances[i, label] <= radius]
        yield centroid.tolist(), radius, found


def _identity(task: Json) -> str:
    return digest(task["structure"], task["kind"], task["prefix"], task["tail"], task["centroid"])


def _described(task: Json, calls: Sequence[Call]) -> Json:
    """The task with what a person and the later stages want to know about it, all from its training calls."""
    actions, forms = Counter(), Counter()
    for call in calls:
        for action in {tool["name"] for tool in call.answer["tool_calls"]} or {_text_kind(call.answer["text"])}:
            actions[action] += 1
        forms["tool_call" if call.answer["tool_calls"] else _text_kind(call.answer["text"])] += 1
    multi = sum(is_multi_turn(call.request) for call in calls)
    variants = Counter(call.variant for call in calls)
    shown = next(call for call in calls if call.variant == min(variants, key=lambda variant: (-variants[variant], variant)))
    form, count = min(forms.items(), key=lambda item: (-item[1], item[0]))
    return task | {
        "agents": sorted({call.agent for call in calls}),
        "tools": shown.request.get("tools") or None,
        "response_format": shown.request.get("response_format"),
        "train_calls": len(calls),
        "actions": {name: round(n / len(calls), 4) for name, n in sorted(actions.items(), key=lambda item: (-item[1], item[0]))},
        "answer_form": form if count >= 0.95 * len(calls) else "mixed",
        "turns": "multi" if 2 * multi > len(calls) else "single",
        "identity": _identity(task)[:8],
    }


def _text_kind(text: str) -> str:
    try:
        return "json" if isinstance(json.loads(text), dict | list) else "text"
    except ValueError:
        return "text"
