"""Which tasks are trained, gated and released together: a large task alone, small ones of one structure and answer form together."""

from collections import defaultdict

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.naming import slug
from slm_pipeline.settings import Settings

FORMS = {"tool_call": "tool calls", "text": "texts", "json": "JSON answers", "mixed": "mixed answers"}


def form_groups(tasks: list[Json], settings: Settings) -> tuple[list[Json], Json]:
    """Set `group` of every task; return the groups, sorted by key, and {task key: why it has none}."""
    groups, small = [], defaultdict(list)
    for task in tasks:
        if task["train_calls"] >= settings.own_group_calls:
            groups.append(_group(task["key"], task["name"], [task], f"own group: {task['train_calls']} training calls"))
        else:
            small[_signature(task)].append(task)
    ungrouped = {}
    for signature, found in sorted(small.items()):
        calls = sum(task["train_calls"] for task in found)
        if calls >= settings.min_group_calls:
            name = f"{signature[2]}-turn {FORMS[signature[3]]}{' as ' + signature[1] if signature[1] else ''}"
            key = f"{slug(name)}-{digest(signature)[:8]}"
            many = f"{len(found)} tasks" if len(found) > 1 else "1 task"
            groups.append(_group(key, f"{name} ({many})", found, f"{many} of one structure: {calls} training calls"))
        else:
            reason = f"{calls} training calls with tasks of its kind, {settings.min_group_calls} are needed"
            ungrouped |= {task["key"]: reason for task in found}
            for task in found:
                task["group"] = None
    return sorted(groups, key=lambda group: group["key"]), ungrouped


def _signature(task: Json) -> tuple[str, str, str, str]:
    """What tasks of one group share; also the group's identity, so its key survives tasks that come and go."""
    kind = (task["response_format"] or {}).get("type", "")
    return ("tools" if task["tools"] else "no tools", kind, task["turns"], task["answer_form"])


def _group(key: str, name: str, tasks: list[Json], why: str) -> Json:
    for task in tasks:
        task["group"] = key
    return {
        "key": key,
        "name": name,
        "tasks": sorted(task["key"] for task in tasks),
        "train_calls": sum(task["train_calls"] for task in tasks),
        "answer_form": tasks[0]["answer_form"],
        "turns": tasks[0]["turns"],
        "why": why,
    }
