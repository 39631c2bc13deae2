"""What a person decided about tasks: rename, pin, exclude, split, merge. Kept apart from what clustering finds, so that each can be undone.

A decision is {n, what, key, who, at} and what it needs more: `name` (rename), `when` (split: a list of two conditions), `others`
(merge: keys). What it made of a task stands in the task's `decided`: `pinned`, `excluded`, `found_name` before a renaming, `when`
and `parts`: the tasks as found, by which calls are recognised.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from slm_pipeline.answers import functions_of
from slm_pipeline.lake import Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.naming import slug
from slm_pipeline.s3_cluster.parts import as_found, condition_of, found_tasks, parts_of
from slm_pipeline.s3_cluster.structure import is_multi_turn
from slm_pipeline.s3_cluster.templates import opening

DECISIONS = "s3_cluster/task_decisions"
POSITION = ({"position": "first"}, {"position": "later"})


class DecisionError(ValueError):
    """A decision that cannot be taken; says why, and names what was probably meant."""


def read_decisions(lake: Lake) -> list[Json]:
    """All decisions in force, in the order in which they were taken."""
    written = lake.read(DECISIONS)
    return written.json("decisions") if written else []


def decide(decisions: Sequence[Json], clusters: Json, what: str, key: str, who: str, at: str, **more: Any) -> list[Json]:
    """The decisions with one more. Raises DecisionError if no task has the key, or if it contradicts what is there."""
    about = [task_of(named, clusters) for named in (key, *more.get("others", ()))]
    if any(other["what"] == what and other["key"] == key for other in decisions) and what in ("pin", "exclude"):
        raise DecisionError(f"{key} is {'pinned' if what == 'pin' else 'excluded'} already.")
    if what == "rename" and not more["name"].strip():
        raise DecisionError("A name needs at least one letter.")
    if what == "rename" and (same := [task["key"] for task in clusters["tasks"] if task["name"] == more["name"] and task["key"] != key]):
        raise DecisionError(f"{same[0]} has the name {more['name']!r} already.")
    if what in ("split", "merge"):
        _reshapable(about)
    number = 1 + max((decision["n"] for decision in decisions), default=0)
    return [*decisions, {"n": number, "what": what, "key": key, **more, "who": who, "at": at}]


def task_of(key: str, clusters: Json) -> Json:
    """The task of a key. Raises DecisionError with near matches if there is none."""
    for task in clusters["tasks"]:
        if task["key"] == key:
            return task
    raise DecisionError(f"There is no task {key!r}. {_near(key, [task['key'] for task in clusters['tasks']])}")


def undo(decisions: Sequence[Json], number: int) -> list[Json]:
    """The decisions without number `number`. Raises DecisionError if there is none."""
    if number not in {decision["n"] for decision in decisions}:
        raise DecisionError(f"There is no decision {number}; there are: {', '.join(str(d['n']) for d in decisions) or 'none'}.")
    return [decision for decision in decisions if decision["n"] != number]


def undo_what(decisions: Sequence[Json], what: str, key: str) -> list[Json]:
    """The decisions without those of one kind about one task. Raises DecisionError if there are none."""
    left = [decision for decision in decisions if (decision["what"], decision["key"]) != (what, key)]
    if len(left) == len(decisions):
        about = [decision["key"] for decision in decisions if decision["what"] == what]
        raise DecisionError(f"{key} is not {'pinned' if what == 'pin' else 'excluded'}. {_near(key, about)}")
    return left


def conditions(phrase: str | None) -> list[Json]:
    """The two conditions of a split: first call of a conversation or later one; with a phrase, whether the opening says it."""
    return [{"says": phrase, "is": True}, {"says": phrase, "is": False}] if phrase else list(POSITION)


def apply_decisions(found: Sequence[tuple[Json, list]], decisions: Iterable[Json]) -> list[tuple[Json, list]]:
    """Tasks with their calls (anything with `request`) as people decided, sorted by key. What is about a task that is gone rests.

    Neither clustering nor registry know of it: they see tasks as found. A task that was split or merged holds these as `parts`;
    the two halves of a split are new tasks, whose keys come from the task's key and the condition.
    """
    tasks = {task["key"]: (task, calls) for task, calls in found}
    for decision in decisions:
        if (key := decision["key"]) not in tasks:
            continue
        task, calls = tasks[key]
        if decision["what"] == "split":
            del tasks[key]
            tasks |= {half["key"]: (half, its) for half, its in _halves(task, calls, decision["when"])}
        elif decision["what"] == "merge":
            others = [tasks.pop(other) for other in decision["others"] if other in tasks]
            parts = [as_found(one) | {"group": None} for one, _ in [(task, calls), *others]]
            tasks[key] = (_with(task, parts=parts), [*calls, *(call for _, its in others for call in its)])
        elif decision["what"] == "rename":
            tasks[key] = (_with(task, found_name=as_found(task)["name"]) | {"name": decision["name"]}, calls)
        else:
            tasks[key] = (_with(task, **{{"pin": "pinned", "exclude": "excluded"}[decision["what"]]: True}), calls)
    return [tasks[key] for key in sorted(tasks)]


def hold_pinned(calls: Sequence, previous: Json | None, decisions: Iterable[Json]) -> tuple[list[tuple[Json, list]], list]:
    """Pinned tasks, as found before, with the calls that they claim; and the calls that are left to be clustered.

    What was pinned keeps recogniser and key: its calls never reach clustering, so nothing can retire, split or merge it.
    """
    from slm_pipeline.s3_cluster.assignment import Assigner

    pinned = {decision["key"] for decision in decisions if decision["what"] == "pin"}
    held = {
        part["key"]: (part, [])
        for task in (previous["tasks"] if previous else ())
        for part in parts_of(task)
        if pinned & {task["key"], part["key"]}
    }
    if not held:
        return [], list(calls)
    assigner, rest = Assigner({"tasks": found_tasks(previous)}), []
    for call in calls:
        task = assigner.assign(call.request).task
        (held[task][1] if task in held else rest).append(call)
    return list(held.values()), rest


def holds(task: Json, request: Json) -> bool:
    """Whether a request, recognised by a part of `task`, belongs to it: always, but for the two halves of a split."""
    condition = condition_of(task)
    if condition is None:
        return True
    if "position" in condition:
        return is_multi_turn(request) == (condition["position"] == "later")
    return (_plain(condition["says"]) in _plain(opening(request, task["system"]))) == condition["is"]


def _halves(task: Json, calls: list, when: Sequence[Json]) -> Iterable[tuple[Json, list]]:
    for condition in when:
        part = condition.get("position") or f"{'with' if condition['is'] else 'without'} {condition['says']}"
        name = f"{task['name']}, {part + ' calls' if 'position' in condition else part}"
        key = f"{slug(name)}-{digest(task['key'], condition)[:8]}"
        marks = {mark: True for mark in ("pinned", "excluded") if task.get("decided", {}).get(mark)}
        decided = marks | {"parts": [as_found(task) | {"group": None}], "when": condition}
        half = task | {"key": key, "name": name, "slug": slug(name), "decided": decided}
        yield half, [call for call in calls if holds(half, call.request)]


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _with(task: Json, **decided: Any) -> Json:
    return task | {"decided": task.get("decided", {}) | decided}


def _reshapable(tasks: Sequence[Json]) -> None:
    keys = [task["key"] for task in tasks]
    if len(set(keys)) < len(keys):
        raise DecisionError("A task cannot be merged with itself.")
    for task in tasks:
        if task.get("decided", {}).get("parts"):
            raise DecisionError(f"{task['key']} comes from a split or a merge: undo that first (`slm tasks decisions` shows its number).")
    forms = {(tuple(sorted(f["name"] for f in functions_of(task["tools"] or []))), str(task["response_format"])) for task in tasks}
    if len(forms) > 1:
        raise DecisionError(f"{' and '.join(keys)} have other tools or another response format: one SLM prompt cannot stand for both.")


def _near(key: str, keys: Iterable[str]) -> str:
    from rapidfuzz import fuzz, process

    near = [found for found, _, _ in process.extract(key, list(keys), scorer=fuzz.partial_ratio, limit=3, score_cutoff=70)]
    return f"Did you mean {' or '.join(near)}?" if near else "`slm tasks` lists them."
