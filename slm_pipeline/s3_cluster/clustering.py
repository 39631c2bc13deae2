"""Finds the tasks in a sample of training calls: structure first, then recurring prompt templates, then text.

A task is always recognisable from the prompt alone (`assignment.py` is the judge of that), recurs enough for that, and its answers
are of one form as far as the prompt tells the forms apart. An agent loop with one call site and many tools is one task: which tool
it uses is the task's breakdown of actions.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence

import pandas as pd

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.assignment import Assigner, fingerprint, task_template
from slm_pipeline.s3_cluster.calls import Call, read_calls
from slm_pipeline.s3_cluster.decisions import apply_decisions, hold_pinned
from slm_pipeline.s3_cluster.density import density_clusters
from slm_pipeline.s3_cluster.describing import described
from slm_pipeline.s3_cluster.grouping import form_groups
from slm_pipeline.s3_cluster.keeping import keep_recognisers
from slm_pipeline.s3_cluster.mining import find_templates
from slm_pipeline.s3_cluster.naming import name_tasks
from slm_pipeline.s3_cluster.parts import excluded, found_tasks
from slm_pipeline.s3_cluster.registry import keep_group_keys, keep_keys, retired, retired_groups
from slm_pipeline.s3_cluster.slots import Template
from slm_pipeline.s3_cluster.structure import is_multi_turn, system_of
from slm_pipeline.s3_cluster.templates import mine
from slm_pipeline.settings import Settings

VERSION = 2


def find_clusters(
    sample: pd.DataFrame, previous: Json | None, settings: Settings, decisions: Sequence[Json] = ()
) -> tuple[Json, dict[str, str]]:
    """clusters.json from the sample and the previous clusters.json; and the task of each sampled call that has one.

    `sample`: columns id, agent, request, answer. Equal for the same calls in any order.
    """
    calls = read_calls(sample, settings)
    held, rest = hold_pinned(calls, previous, decisions)
    found = list({_identity(task): (task, its) for task, its in _tasks(rest, previous, settings)}.values())
    tasks = [described(task, its) | {"identity": _identity(task)[:8]} for task, its in [*held, *found]]
    name_tasks(tasks[len(held) :], [[call.opening for call in its] for _, its in found])
    members = [{call.id for call in its} for _, its in [*held, *found]]
    requests = {call.id: call.request for call in calls}
    changes = keep_keys(tasks, members, previous, requests, settings.same_task_overlap)
    tasks = keep_recognisers(tasks, members, previous, requests)
    gone = retired(tasks, previous)
    decided = apply_decisions([(task, its) for task, (_, its) in zip(tasks, [*held, *found], strict=True)], decisions)
    final = [described(task, its) if "decided" in task else task for task, its in decided]
    groups, ungrouped = form_groups([task for task in final if not excluded(task)], settings)
    groups, changed = keep_group_keys(groups, final, previous, settings.same_task_overlap)
    belongs = {call.id: task["key"] for task, (_, its) in zip(final, decided, strict=True) for call in its}
    clusters = {
        "version": VERSION,
        "tasks": final,
        "groups": groups,
        "ungrouped": ungrouped | {task["key"]: "excluded by a person" for task in final if excluded(task)},
        "unassigned_share": round(1 - len(belongs) / len(calls), 6) if calls else 0.0,
        "sample": len(calls),
        "changes": changes + changed,
        "decisions": [decision["n"] for decision in decisions],
        "retired": gone,
        "retired_groups": retired_groups(groups, previous),
    }
    return clusters | {"fingerprint": fingerprint(clusters)}, belongs


def agreement(sample: pd.DataFrame, found: dict[str, str], clusters: Json) -> float:
    """Share of the sampled calls that the Assigner, from the prompt alone, puts where clustering put them."""
    assigner = Assigner(clusters)
    same = [
        assigner.assign(json.loads(request)).task == found.get(id_) for id_, request in zip(sample["id"], sample["request"], strict=True)
    ]
    return sum(same) / len(same) if same else 1.0


def _tasks(calls: Sequence[Call], previous: Json | None, settings: Settings) -> Iterable[tuple[Json, list[Call]]]:
    by_structure: dict[str, list[Call]] = defaultdict(list)
    known: dict[str, list[Json]] = defaultdict(list)
    for call in calls:
        by_structure[call.structure].append(call)
    for task in found_tasks(previous):
        known[task["structure"]].append(task)
    for structure, its in sorted(by_structure.items()):
        yield from _tasks_of_structure(its, known[structure], settings)


def _tasks_of_structure(calls: list[Call], known: Sequence[Json], settings: Settings) -> Iterable[tuple[Json, list[Call]]]:
    """The tasks of calls with the same system prompt, tools and response format; `known`: those that were found before.

    A static system prompt or tools make one task, and several only if nearly all calls follow templates: then they come from several
    call sites. Without either it takes a template or dense wording.
    """
    task = _recogniser(calls)
    static, tools = calls[0].system is not None, bool(calls[0].request.get("tools"))
    varying_system = tools and not static and system_of(calls[0].request) is not None
    whole = static or (tools and not varying_system)
    loop = tools and not varying_system and 2 * sum(is_multi_turn(call.request) for call in calls) > len(calls)
    templates = [task_template(one) for one in known if one["kind"] == "prefix"]
    found = [] if loop else find_templates([call.wording for call in calls], [call.shape for call in calls], settings, templates)
    rest = calls
    if not whole or (len(found) > 1 and _covered(calls, found) >= settings.tail_coverage):
        for template, its in found:
            yield _templated(task, template, [calls[i] for i in its])
        taken = {i for _, its in found for i in its}
        rest = [call for i, call in enumerate(calls) if i not in taken]
    if (static or tools) and len(rest) >= settings.min_task_calls:
        yield task, rest
    elif not static and not tools:
        drawn = sorted(rest, key=lambda call: digest(settings.seed, call.id))
        dense = [(one["centroid"], one["radius"]) for one in known if one["kind"] == "text" and one["embedding"] == settings.embedding]
        for centroid, radius, its in density_clusters([call.wording for call in drawn], settings, dense):
            yield task | {"kind": "text", "centroid": centroid, "radius": radius, "embedding": settings.embedding}, [drawn[i] for i in its]


def _covered(calls: list[Call], found: list[tuple[Template, list[int]]]) -> float:
    """The share of different texts that follow a template: one that is only repeated says nothing about the others."""
    followed = {calls[i].wording for _, its in found for i in its if len({calls[i].wording for i in its}) > 1}
    return len(followed) / len({call.wording for call in calls})


def _recogniser(calls: Sequence[Call]) -> Json:
    """The recogniser of a task that its structure alone tells from all others."""
    task = {"structure": calls[0].structure, "variants": sorted({call.variant for call in calls}), "kind": "structure"}
    task |= dict.fromkeys(("prefix", "inner", "tail", "centroid", "radius", "embedding"))
    return task | {"system": calls[0].system, "text_prefix": "", "text_suffix": ""}


def _templated(task: Json, template: Template, calls: list[Call]) -> tuple[Json, list[Call]]:
    head, tail = mine([call.opening for call in calls])
    runs = list(template.runs)
    last = runs.pop() if template.ends and (len(runs) > 1 or not template.starts) else None
    first = runs.pop(0) if template.starts else None
    made = {"kind": "prefix", "prefix": first, "inner": runs, "tail": last, "text_prefix": head, "text_suffix": tail}
    return task | made, calls


def _identity(task: Json) -> str:
    return digest(*(task[name] for name in ("structure", "kind", "prefix", "inner", "tail", "centroid")))
