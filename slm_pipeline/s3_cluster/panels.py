"""What the asset panels of S3 show. Prompts in them are redacted (curated) and short."""

import json

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image, growth_png, map_png, shares_png
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster.naming import summary
from slm_pipeline.s3_cluster.traffic import by_day, by_task

SHOWN_PROMPTS = 3
SHOWN_CHARACTERS = 160
TRAFFIC = {"calls": ",.0f", "calls_share": ".1%", "tokens": ",.0f", "tokens_share": ".1%", "cost": ",.2f", "cost_share": ".1%"}


def example_prompts(sample: pd.DataFrame, found: dict[str, str], clusters: Json) -> Json:
    """By task the ends of its first few prompts, template taken away."""
    from slm_pipeline.s3_cluster.shown import asked_text

    tasks = {task["key"]: task for task in clusters["tasks"]}
    shown: dict[str, list[str]] = {key: [] for key in tasks}
    for id_, request in zip(sample["id"], sample["request"], strict=True):
        if (key := found.get(id_)) and len(shown[key]) < SHOWN_PROMPTS:
            text = asked_text(json.loads(request), tasks[key])
            shown[key].append(text if len(text) <= SHOWN_CHARACTERS else f"...{text[-SHOWN_CHARACTERS:]}")
    return shown


def clusters_panel(clusters: Json, prompts: Json) -> dict:
    """Tables of tasks, groups, example prompts and changes, and the figures that are plotted over time."""
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
            summary(task),
        ]
        for task in tasks
    ]
    group_rows = [[group["name"], group["key"], len(group["tasks"]), group["train_calls"], group["why"]] for group in clusters["groups"]]
    changed = [
        [change["kind"], change["key"], ", ".join(key for key in change["from"] if key != change["key"])]
        for change in clusters["changes"]
        if change["kind"] not in ("keep", "keep group")
    ]
    return {
        "tasks": dg.MetadataValue.md(
            _table(["task", "key", "agents", "training calls", "actions", "turns", "group", "summary"], task_rows)
        ),
        "groups": dg.MetadataValue.md(_table(["group", "key", "tasks", "training calls", "why"], group_rows)),
        "ungrouped": dg.MetadataValue.md(_table(["task", "reason"], [list(item) for item in clusters["ungrouped"].items()])),
        "example_prompts": dg.MetadataValue.md(
            _table(["task", "prompt"], [[t["name"], text] for t in tasks for text in prompts[t["key"]]])
        ),
        "changes": dg.MetadataValue.md(_table(["change", "key", "from"], changed)),
        "n_tasks": len(tasks),
        "n_groups": len(clusters["groups"]),
        "unassigned_share": clusters["unassigned_share"],
        "sample": clusters["sample"],
    }


def map_panel(points: pd.DataFrame, clusters: Json) -> dict:
    """The map of the tasks as a picture; `points` are those of `map_points`."""
    return {"map": dg.MetadataValue.md(as_markdown_image(map_png(points, _names(clusters)), "map of the tasks") if len(points) else "none")}


def traffic_panel(counts: pd.DataFrame, clusters: Json) -> dict:
    """Each task's share of calls, tokens and cost, and its growth over the days; `counts` are those of `traffic`, all days."""
    if counts.empty:
        return {}
    names, totals = _names(clusters), by_task(counts).sort_values("calls", ascending=False, kind="stable")
    rows = [
        [names.get(task, "no task"), task if pd.notna(task) else "", *(_number(row[column], form) for column, form in TRAFFIC.items())]
        for task, row in totals.iterrows()
    ]
    heads = [column.replace("_share", ", share") for column in TRAFFIC]
    return {
        "shares": dg.MetadataValue.md(as_markdown_image(shares_png(totals, names), "share of calls, tokens and cost by task")),
        "growth": dg.MetadataValue.md(as_markdown_image(growth_png(by_day(counts), names), "calls a day by task")),
        "traffic": dg.MetadataValue.md(_table(["task", "key", *heads], rows)),
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


def _names(clusters: Json) -> dict[str, str]:
    """Names by task key, largest task first."""
    return {task["key"]: task["name"] for task in sorted(clusters["tasks"], key=lambda task: (-task["train_calls"], task["key"]))}


def _number(value: float, form: str) -> str:
    return "-" if pd.isna(value) else format(value, form)


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
