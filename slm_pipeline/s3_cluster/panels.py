"""What the asset panels of S3 show. Prompts in them are redacted (curated) and short."""

import json

import dagster as dg
import pandas as pd

from slm_pipeline.records import Json

SHOWN_PROMPTS = 3
SHOWN_CHARACTERS = 160


def example_prompts(sample: pd.DataFrame, found: dict[str, str], clusters: Json) -> Json:
    """By task the ends of its first few prompts, template taken away."""
    from slm_pipeline.s3_cluster.templates import factor

    tasks = {task["key"]: task for task in clusters["tasks"]}
    shown: dict[str, list[str]] = {key: [] for key in tasks}
    for id_, request in zip(sample["id"], sample["request"], strict=True):
        if (key := found.get(id_)) and len(shown[key]) < SHOWN_PROMPTS:
            text = " ".join(factor(json.loads(request), tasks[key])[-1]["content"].split())
            shown[key].append(text if len(text) <= SHOWN_CHARACTERS else f"...{text[-SHOWN_CHARACTERS:]}")
    return shown


def clusters_panel(clusters: Json, prompts: Json) -> dict:
    """Tables of tasks, groups and example prompts, and the figures that are plotted over time."""
    names = {group["key"]: group["name"] for group in clusters["groups"]}
    tasks = sorted(clusters["tasks"], key=lambda task: (-task["train_calls"], task["key"]))
    task_rows = [
        [
            task["name"],
            task["key"],
            ", ".join(task["agents"]),
            task["train_calls"],
            _actions(task),
            task["turns"],
            names.get(task["group"], "none: stays with the LLM"),
        ]
        for task in tasks
    ]
    group_rows = [[group["name"], group["key"], len(group["tasks"]), group["train_calls"], group["why"]] for group in clusters["groups"]]
    changed = [[change["kind"], change["key"]] for change in clusters["changes"] if change["kind"] != "keep"]
    return {
        "tasks": dg.MetadataValue.md(_table(["task", "key", "agents", "training calls", "actions", "turns", "group"], task_rows)),
        "groups": dg.MetadataValue.md(_table(["group", "key", "tasks", "training calls", "why"], group_rows)),
        "ungrouped": dg.MetadataValue.md(_table(["task", "reason"], [list(item) for item in clusters["ungrouped"].items()])),
        "example_prompts": dg.MetadataValue.md(
            _table(["task", "prompt"], [[t["name"], text] for t in tasks for text in prompts[t["key"]]])
        ),
        "changes": dg.MetadataValue.md(_table(["change", "key"], changed)),
        "n_tasks": len(tasks),
        "n_groups": len(clusters["groups"]),
        "unassigned_share": clusters["unassigned_share"],
        "sample": clusters["sample"],
    }


def assignment_panel(table: pd.DataFrame | None) -> dict:
    """How many calls of a day have a task and a group, and why the others do not; None: the day has no calls."""
    if table is None:
        return {"calls": 0}
    reasons = table.loc[table["reason"] != "", "reason"].value_counts().sort_index()
    tasks = table["task"].dropna().value_counts().sort_index()
    return {
        "calls": len(table),
        "with_group": int(table["group"].notna().sum()),
        "unassigned": int(table["task"].isna().sum()),
        "reasons": dg.MetadataValue.md(_table(["reason", "calls"], [[k, int(n)] for k, n in reasons.items()])),
        "tasks": dg.MetadataValue.md(_table(["task", "calls"], [[k, int(n)] for k, n in tasks.items()])),
    }


def examples_panel(summary: Json, digest: str) -> dict:
    """Examples by split, and what was left out of training."""
    rows = [[f"{kind}: {name}", n] for kind in ("splits", "left_out", "forms") for name, n in summary[kind].items()]
    return {
        "examples": dg.MetadataValue.md(_table(["", "examples"], rows)),
        "training_examples": summary["splits"]["train"],
        "test_examples": summary["splits"]["test"],
        "failures": summary["failures"],
        "tasks": summary["tasks"],
        "dataset_digest": digest,
    }


def _actions(task: Json) -> str:
    shown = list(task["actions"].items())[:4]
    return ", ".join(f"{name} {share:.0%}" for name, share in shown) + (
        f", {len(task['actions']) - 4} more" if len(task["actions"]) > 4 else ""
    )


def _table(head: list[str], rows: list[list]) -> str:
    if not rows:
        return "none"
    lines = [[str(cell).replace("|", "\\|") for cell in row] for row in [head, ["---"] * len(head), *rows]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
