"""A task as clustering found it, and as a person's decisions made it: what a call is recognised by, and what it then belongs to."""

from slm_pipeline.records import Json


def found_tasks(clusters: Json | None) -> list[Json]:
    """The tasks of clusters.json as clustering found them, before any decision."""
    return list({part["key"]: part for task in (clusters["tasks"] if clusters else ()) for part in parts_of(task)}.values())


def parts_of(task: Json) -> list[Json]:
    """The tasks, as found, by which a task's calls are recognised: itself, unless a person split or merged."""
    return task.get("decided", {}).get("parts") or [as_found(task)]


def as_found(task: Json) -> Json:
    """The task without what a person decided about it."""
    if "decided" not in task:
        return task
    name = task["decided"].get("found_name", task["name"])
    return {key: value for key, value in task.items() if key != "decided"} | {"name": name}


def excluded(task: Json) -> bool:
    """Whether a person keeps the task's calls with the LLM."""
    return task.get("decided", {}).get("excluded", False)


def condition_of(task: Json) -> Json | None:
    """The condition that calls of one half of a split task meet; None if the task was not split."""
    return task.get("decided", {}).get("when")
