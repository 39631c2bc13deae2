"""`slm tasks`: what the agents do, as a list and one by one, and what a person decides about it."""

import getpass
import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.assignment import task_template
from slm_pipeline.s3_cluster.decisions import DECISIONS, apply_decisions, decide, read_decisions, task_of
from slm_pipeline.s3_cluster.naming import summary
from slm_pipeline.s3_cluster.parts import excluded, found_tasks
from slm_pipeline.s3_cluster.refresh import CLUSTERS
from slm_pipeline.s3_cluster.shown import BETWEEN
from slm_pipeline.s3_cluster.traffic import ASSIGNMENTS, by_day, by_task

BARS = "▁▂▃▄▅▆▇█"
SPARKS = 10  # newest days that the list shows
EXAMPLES = 3
SHOWN = 400  # characters of a prompt or an answer, and of each static piece of a template
NEXT = "It takes effect with the next `slm run`, or by itself the next night while `slm up` runs."


class NoTasks(LookupError):
    """No tasks have been found yet."""


def read_clusters(lake: Lake) -> Json:
    """The newest clusters.json. Raises NoTasks."""
    written = lake.read(CLUSTERS)
    if written is None:
        raise NoTasks("No tasks have been found yet: `slm run` finds them in the logged calls.")
    return written.json("clusters")


def task_rows(clusters: Json, counts: pd.DataFrame) -> list[Json]:
    """One object for each task, largest first, then one without key for the calls that no task has.

    Keys: name, key, summary, group, calls, calls_share, tokens, tokens_share, cost (None: not recorded), actions, growth (calls by
    day, oldest first), state.
    """
    totals, daily = by_task(counts), by_day(counts)
    rows = [
        {"name": task["name"], "key": task["key"], "summary": summary(task), "group": task["group"]}
        | _numbers(totals, task["key"])
        | {"actions": task["actions"], "growth": _growth(daily, task["key"]), "state": state(task, clusters)}
        for task in clusters["tasks"]
    ]
    rows.sort(key=lambda row: (-row["calls"], row["key"]))
    if totals.index.isna().any():
        none = {"name": "no task", "key": None, "summary": "Calls that fit no task; they stay with the LLM", "group": None}
        rows.append(none | _numbers(totals, None) | {"actions": {}, "growth": _growth(daily, "unassigned"), "state": "unassigned"})
    return rows


def state(task: Json, clusters: Json) -> str:
    """What becomes of a task, and what a person decided about it: "own group, pinned"."""
    decided = task.get("decided", {})
    group = next((group for group in clusters["groups"] if group["key"] == task["group"]), None)
    what = "excluded" if excluded(task) else "too few calls" if group is None else "own group" if len(group["tasks"]) == 1 else "in a group"
    marks = [("pinned", decided.get("pinned")), ("renamed", decided.get("found_name")), ("split", decided.get("when"))]
    marks.append(("merged", decided.get("parts") and not decided.get("when")))
    return ", ".join([what, *(name for name, there in marks if there)])


def print_tasks(rows: Sequence[Json], console: Console) -> None:
    """The list as a table."""
    costs, tokens = (any(row[column] is not None for row in rows) for column in ("cost", "tokens"))
    widest = max(len(row[name] or "") for row in rows for name in ("name", "key", "group"))
    # keys are there to be copied: they are broken last
    table = Table(Column("Task: key, state, group", overflow="fold", width=max(24, min(widest, console.width - 66))))
    for head in ("Calls", "Share", *(["Tokens"] if tokens else []), *(["Cost"] if costs else [])):
        table.add_column(head, justify="right")
    table.add_column("Actions", overflow="fold")
    table.add_column("By day", no_wrap=True)
    for row in rows:
        numbers = [f"{row['calls']:,}", _percent(row["calls_share"])]
        numbers += [_percent(row["tokens_share"])] if tokens else []
        numbers += ["-" if row["cost"] is None else f"{row['cost']:,.2f}"] if costs else []
        said = [row["key"], row["state"], row["group"] if row["group"] != row["key"] else None]
        name = "\n".join([f"[bold]{escape(row['name'])}[/bold]", *(f"[dim]{line}[/dim]" for line in said if line)])
        table.add_row(name, *numbers, escape(actions_line(row["actions"], 3)), spark(row["growth"]), end_section=True)
    console.print(table)


def print_task(key: str, lake: Lake, console: Console) -> None:
    """One task: what it is, its template, what is answered, why it has a group or none, and examples. Raises DecisionError."""
    clusters = read_clusters(lake)
    task = task_of(key, clusters)
    group = next((group for group in clusters["groups"] if group["key"] == task["group"]), None)
    why = f"{group['name']}; {group['why']}" if group else f"none: {clusters['ungrouped'].get(key, 'excluded')}"
    lines = [("Name", task["name"]), ("Key", key), ("What", summary(task)), ("Agents", ", ".join(filter(None, task["agents"])) or "-")]
    lines += [("Calls", f"{task['train_calls']:,} of the clustered sample"), ("State", state(task, clusters)), ("Group", why)]
    lines += [("Changes", _came_from(task, clusters)), ("Actions", actions_line(task["actions"], 12))]
    for title, text in [*lines, *_template_lines(task)]:
        console.print(f"[bold]{title:<9}[/bold] {escape(text)}", highlight=False, soft_wrap=True)
    for prompt, answer in examples(task, lake):
        console.print(f"\n[bold]Asked[/bold]     {escape(_short(prompt, end=True))}", highlight=False, soft_wrap=True)
        console.print(f"[bold]Answered[/bold]  {escape(_short(answer))}", highlight=False, soft_wrap=True)


def examples(task: Json, lake: Lake) -> list[tuple[str, str]]:
    """The newest redacted calls of a task: what varies of the prompt, and the answer."""
    from slm_pipeline.answers import render_answer
    from slm_pipeline.s3_cluster.examples import read_answer
    from slm_pipeline.s3_cluster.shown import asked_text
    from slm_pipeline.s3_cluster.templates import TemplateChanged

    found: list[tuple[str, str]] = []
    for day in reversed(lake.partitions(ASSIGNMENTS)):
        assigned, curated = lake.read(ASSIGNMENTS, day).table("assignments"), lake.read(CURATED, day)
        ids = set(assigned.loc[assigned["task"] == task["key"], "id"])
        calls = curated.table("calls") if ids and curated else pd.DataFrame({"id": [], "answer": []})
        for call in calls[calls["id"].isin(ids) & calls["answer"].notna()].head(EXAMPLES - len(found)).to_dict("records"):
            request = json.loads(call["request"])
            with suppress(TemplateChanged):
                found.append((asked_text(request, task), render_answer(read_answer(call["answer"]), request.get("tools"))))
        if len(found) >= EXAMPLES:
            break
    return found


def take(what: str, key: str, lake: Lake, **more: Any) -> str:
    """Store one more decision; returns what is to be told. Raises DecisionError."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    clusters, before = read_clusters(lake), read_decisions(lake)
    # later decisions are about what earlier ones made, also before the next clustering
    ahead = clusters | {"tasks": [task for task, _ in apply_decisions([(task, []) for task in found_tasks(clusters)], before)]}
    decisions = decide(before, ahead, what, key, getpass.getuser(), at, **more)
    store(decisions, lake)
    return f"Decision {decisions[-1]['n']}: {sentence(decisions[-1])}. {NEXT} `slm tasks undo {decisions[-1]['n']}` takes it back."


def store(decisions: Sequence[Json], lake: Lake) -> None:
    """Write the decisions in force; there are few."""
    lake.write(DECISIONS, None, {"decisions": list(decisions)})


def print_decisions(decisions: Sequence[Json], clusters: Json, console: Console) -> None:
    """What people decided, with the numbers that `slm tasks undo` takes."""
    for decision in decisions:
        when = "in force" if decision["n"] in clusters["decisions"] else "from the next run on"
        line = f"{decision['n']}  {sentence(decision)}  [dim]({decision['who']}, {decision['at'][:10]}; {when})[/dim]"
        console.print(line, highlight=False, soft_wrap=True)


def sentence(decision: Json) -> str:
    """A decision in words."""
    key = decision["key"]
    if decision["what"] == "split":
        condition = decision["when"][0]
        by = f"by whether the prompt says {condition['says']!r}" if "says" in condition else "into first and later calls of a conversation"
        return f"split {key} {by}"
    if decision["what"] == "merge":
        return f"merge {', '.join(decision['others'])} into {key}"
    return f"rename {key} to {decision['name']!r}" if decision["what"] == "rename" else f"{decision['what']} {key}"


def actions_line(actions: Json, most: int) -> str:
    """`get weather 60 %, text 40 %, 2 more`."""
    shown = ", ".join(f"{name} {share:.0%}" for name, share in list(actions.items())[:most])
    return f"{shown}, {len(actions) - most} more" if len(actions) > most else shown


def spark(values: Sequence[int]) -> str:
    """The newest numbers as bars, relative to the largest; a day without calls is a dot."""
    values = values[-SPARKS:]
    return "".join(BARS[round((len(BARS) - 1) * value / max(values))] if value else "·" for value in values)


def _numbers(totals: pd.DataFrame, key: str | None) -> Json:
    at = totals[totals.index.isna()] if key is None else totals[totals.index == key]
    row = at.iloc[0].to_dict() if len(at) else {}
    numbers = {name: None if pd.isna(row.get(name)) else row[name] for name in ("tokens", "tokens_share", "cost", "cost_share")}
    numbers["tokens"] = None if numbers["tokens"] is None else int(numbers["tokens"])
    return {"calls": int(row.get("calls", 0)), "calls_share": row.get("calls_share", 0.0)} | numbers


def _growth(daily: pd.DataFrame, key: str) -> list[int]:
    return [int(n) for n in daily[key]] if key in daily else [0] * len(daily)


def _template_lines(task: Json) -> list[tuple[str, str]]:
    system = [("System", _ends(task["system"]))] if task["system"] else []
    tools = [("Tools", ", ".join(tool["function"]["name"] for tool in task["tools"]))] if task["tools"] else []
    if task["kind"] != "prefix":
        return [*system, *tools]
    template = task_template(task)
    runs = [*([] if template.starts else [""]), *map(_ends, template.runs), *([] if template.ends else [""])]
    return [*system, *tools, ("Template", BETWEEN.join(runs).strip()), ("Slots", ", ".join(task["slots"]))]


def _came_from(task: Json, clusters: Json) -> str:
    keys = {task["key"], *(part["key"] for part in task.get("decided", {}).get("parts", ()))}
    found = [change for change in clusters["changes"] if change["key"] in keys and not change["kind"].endswith(" group")]
    return "; ".join(f"{c['kind']}{' of ' + ', '.join(c['from']) if c['kind'] in ('split', 'merge') else ''}" for c in found) or "-"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _ends(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]} ... {text[-SHOWN // 2 :]}"


def _short(text: str, end: bool = False) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"...{text[-SHOWN:]}" if end else f"{text[:SHOWN]}..."
