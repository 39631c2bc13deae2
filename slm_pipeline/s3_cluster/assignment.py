"""Which task a call belongs to, from its prompt alone: the same code in the pipeline and at run time."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.decisions import holds
from slm_pipeline.s3_cluster.marks import plain
from slm_pipeline.s3_cluster.parts import condition_of, excluded, parts_of
from slm_pipeline.s3_cluster.slots import Template, best_match
from slm_pipeline.s3_cluster.structure import conversation, loose_digest, structure_of
from slm_pipeline.s3_cluster.templates import TemplateChanged, varying, wording

RECOGNISER = ("structure", "variants", "kind", "prefix", "inner", "tail", "centroid", "radius", "embedding")
STATIC = ("system", "text_prefix", "text_suffix")
USED = ("key", *RECOGNISER, *STATIC)

NO_PROMPT = ("malformed", "failed_call", "embedding")  # S2's reasons for calls whose prompt may be none, or was never answered


@dataclass(frozen=True)
class Assignment:
    """`distance`: cosine distance to the centroid for tasks found by text, else 0. `reason`: why there is no task or no group."""

    task: str | None
    group: str | None
    distance: float
    reason: str


def recognisers(clusters: Json) -> str:
    """Changes exactly when some call could have another task."""
    tasks = [[task["key"], condition_of(task)] for task in clusters["tasks"]]
    parts = [[{key: part.get(key) for key in USED} for part in parts_of(task)] for task in clusters["tasks"]]
    return digest(tasks, parts)


def fingerprint(clusters: Json) -> str:
    """Changes exactly when some call could have another task or group."""
    return digest(recognisers(clusters), [[task["key"], task["group"], excluded(task)] for task in clusters["tasks"]])


def task_template(task: Json) -> Template:
    """The template by which a task of kind "prefix" is recognised."""
    prefix, inner, tail = task["prefix"], task.get("inner") or [], task["tail"]
    runs = ([prefix] if prefix else []) + inner + ([tail] if tail else [])
    return Template(tuple(runs), starts=bool(prefix), ends=bool(tail))


class Assigner:
    """Recognises the tasks of one clusters.json. Raises nothing: a call that fits no task is unassigned, with the reason."""

    def __init__(self, clusters: Json):
        self._owners: dict[str, list[Json]] = {}
        parts: dict[str, Json] = {}
        for task in clusters["tasks"]:
            for part in parts_of(task):
                self._owners.setdefault(part["key"], []).append(task)
                parts[part["key"]] = part
        self._variants = {variant: part["structure"] for part in parts.values() for variant in part["variants"]}
        self._loose = {part["structure"] for part in parts.values()}
        self._whole = {part["structure"]: part for part in parts.values() if part["kind"] == "structure"}
        self._texts = _by_structure(part for part in parts.values() if part["kind"] == "text")
        self._templated = _by_structure(sorted((p for p in parts.values() if p["kind"] == "prefix"), key=_longest_first))
        self._templates = {key: [task_template(task) for task in tasks] for key, tasks in self._templated.items()}

    def assign(self, request: Json) -> Assignment:
        """The task of a request, from its prompt alone."""
        structure = structure_of(request)
        key = self._variants.get(structure.exact)
        if key is None and structure.system is not None:
            free = structure_of(request, with_system=False)
            key = self._variants.get(free.exact)
            structure = structure if key is None else free
        if key is None:
            changed = {loose_digest(request, system) for system in {structure.system, None}} & self._loose
            return Assignment(None, None, 0.0, "template_changed" if changed else "unknown_structure")
        if key in self._templated or key in self._texts:
            return self._by_text(key, request, structure.system)
        return self._assigned(self._whole[key], request)

    def _by_text(self, key: str, request: Json, system: str | None) -> Assignment:
        text = wording(request, system)
        if key in self._templated and (best := best_match(self._templates[key], plain(text))) is not None:
            task = self._templated[key][best]
            try:
                varying(conversation(request, with_system=system is None), task)
            except TemplateChanged:
                return Assignment(None, None, 0.0, "template_changed")
            return self._assigned(task, request)
        if key in self._texts:
            return self._nearest(self._texts[key], text, request)
        return self._assigned(self._whole[key], request) if key in self._whole else Assignment(None, None, 0.0, "no_task")

    def _nearest(self, tasks: list[Json], text: str, request: Json) -> Assignment:
        import numpy as np

        from slm_pipeline.s3_cluster.embedding import embed

        (vector,) = embed([text], tasks[0].get("embedding") or "static")
        distances = 1 - np.array([task["centroid"] for task in tasks], dtype=np.float32) @ vector
        best = int(distances.argmin())
        distance = round(float(distances[best]), 6)
        if distance > tasks[best]["radius"]:
            return Assignment(None, None, distance, "far_from_every_task")
        return self._assigned(tasks[best], request, distance)

    def _assigned(self, part: Json, request: Json, distance: float = 0.0) -> Assignment:
        task = next(task for task in self._owners[part["key"]] if holds(task, request))
        return Assignment(task["key"], task["group"], distance, _without_group(task))


def _without_group(task: Json) -> str:
    return "" if task["group"] else "excluded" if excluded(task) else "ungrouped"


def regrouped(assignments: pd.DataFrame, clusters: Json) -> pd.DataFrame:
    """Assignments to the same tasks with the groups that these have now; no prompt is read for it."""
    groups = {task["key"]: task["group"] for task in clusters["tasks"]}
    reasons = {task["key"]: _without_group(task) for task in clusters["tasks"]}
    has = assignments["task"].notna()
    return assignments.assign(
        group=assignments["task"].map(groups).astype("str"),
        reason=assignments["reason"].where(~has, assignments["task"].map(reasons)).astype("str"),
    )


def assign_calls(calls: pd.DataFrame, clusters: Json | None) -> pd.DataFrame:
    """assignments.parquet of a curated day: id, session_id, split, task, group, distance, reason. Without clusters: none has a task."""
    assigner = Assigner(clusters) if clusters else None
    none = Assignment(None, None, 0.0, "no_clusters")
    found = [
        Assignment(None, None, 0.0, reason) if reason in NO_PROMPT else assigner.assign(json.loads(request)) if assigner else none
        for request, reason in zip(calls["request"], calls["drop_reason"], strict=True)
    ]
    columns = {name: [getattr(assignment, name) for assignment in found] for name in ("task", "group", "distance", "reason")}
    types = {"task": "str", "group": "str", "distance": "float64", "reason": "str"}
    return calls[["id", "session_id", "split"]].reset_index(drop=True).join(pd.DataFrame(columns).astype(types))


def _by_structure(tasks: Iterable[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for task in tasks:
        found.setdefault(task["structure"], []).append(task)
    return found


def _longest_first(task: Json) -> tuple[int, str]:
    return -task_template(task).words, task["key"]
