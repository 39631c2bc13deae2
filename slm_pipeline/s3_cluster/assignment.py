"""Which task a call belongs to, from its prompt alone: the same code in the pipeline and at run time."""

import json
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.structure import conversation, loose_digest, structure_of
from slm_pipeline.s3_cluster.templates import TemplateChanged, varying

PREFIX_WORDS = range(10, 3, -1)  # longest first
TAIL_WORDS = 8
USED = ("key", "structure", "variants", "kind", "prefix", "tail", "centroid", "radius", "system", "text_prefix", "text_suffix", "group")

NO_PROMPT = ("malformed", "failed_call", "embedding")  # S2's reasons for calls whose prompt may be none, or was never answered


@dataclass(frozen=True)
class Assignment:
    """`distance`: cosine distance to the centroid for tasks found by text, else 0. `reason`: why there is no task or no group."""

    task: str | None
    group: str | None
    distance: float
    reason: str


def words(text: str, count: int, end: bool = False) -> str | None:
    """The first (or last) `count` words of a text, joined by blanks; None if it has fewer."""
    found = text.rsplit(maxsplit=count)[-count:] if end else text.split(maxsplit=count)[:count]
    return " ".join(found) if len(found) == count else None


def fingerprint(clusters: Json) -> str:
    """Changes exactly when some call could be assigned differently."""
    return digest([{key: task[key] for key in USED} for task in clusters["tasks"]])


class Assigner:
    """Recognises the tasks of one clusters.json. Raises nothing: a call that fits no task is unassigned, with the reason."""

    def __init__(self, clusters: Json):
        tasks = clusters["tasks"]
        self._variants = {variant: task["structure"] for task in tasks for variant in task["variants"]}
        self._loose = {task["structure"] for task in tasks}
        self._prefixes: dict[tuple[str, str], list[Json]] = {}
        self._texts: dict[str, list[Json]] = {}
        self._whole = {task["structure"]: task for task in tasks if task["kind"] == "structure"}
        for task in tasks:
            if task["kind"] == "prefix":
                self._prefixes.setdefault((task["structure"], task["prefix"]), []).append(task)
            elif task["kind"] == "text":
                self._texts.setdefault(task["structure"], []).append(task)
        self._templated = {structure for structure, _ in self._prefixes}
        for found in self._prefixes.values():
            found.sort(key=lambda task: (task["tail"] is None, task["key"]))

    def assign(self, request: Json) -> Assignment:
        """The task of a request, from its prompt alone."""
        structure = structure_of(request)
        key = self._variants.get(structure.exact)
        if key is None and structure.system is not None and not request.get("tools"):
            structure = structure_of(request, with_system=False)
            key = self._variants.get(structure.exact)
        if key is None:
            changed = loose_digest(request, structure.system) in self._loose
            return Assignment(None, None, 0.0, "template_changed" if changed else "unknown_structure")
        if key in self._templated or key in self._texts:
            return self._by_text(key, conversation(request, with_system=structure.system is None))
        return _assigned(self._whole[key])

    def _by_text(self, key: str, messages: list[Json]) -> Assignment:
        text = messages[0]["content"] if messages else ""
        for task in self._by_prefix(key, text):
            try:
                varying(messages, task)
            except TemplateChanged:
                return Assignment(None, None, 0.0, "template_changed")
            return _assigned(task)
        if key in self._texts:
            return self._nearest(self._texts[key], text)
        return _assigned(self._whole[key]) if key in self._whole else Assignment(None, None, 0.0, "no_task")

    def _by_prefix(self, key: str, text: str):
        for count in PREFIX_WORDS:
            for task in self._prefixes.get((key, words(text, count)), ()):
                if task["tail"] is None or task["tail"] == words(text, TAIL_WORDS, end=True):
                    yield task

    def _nearest(self, tasks: list[Json], text: str) -> Assignment:
        import numpy as np

        from slm_pipeline.s3_cluster.embedding import embed

        distances = 1 - np.array([task["centroid"] for task in tasks], dtype=np.float32) @ embed([text])[0]
        best = int(distances.argmin())
        distance = round(float(distances[best]), 6)
        return (
            _assigned(tasks[best], distance)
            if distance <= tasks[best]["radius"]
            else Assignment(None, None, distance, "far_from_every_task")
        )


def _assigned(task: Json, distance: float = 0.0) -> Assignment:
    return Assignment(task["key"], task["group"], distance, "" if task["group"] else "ungrouped")


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
