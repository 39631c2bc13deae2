"""Calls whose SLM answer was not used, by group, since the first day: what the next adapter is trained on."""

import json

import pandas as pd

from slm_pipeline.answers import render_answer
from slm_pipeline.records import Answer, Json, ToolCall
from slm_pipeline.s3_cluster.examples import is_failure

CURATED_COLUMNS = ["id", "day", "split", "answer", "failed_model", "failed_answer", "failed_reason", "drop_reason"]
ASSIGNMENT_COLUMNS = ["id", "task", "group"]
COLUMNS = ["id", "group", "task", "model", "reason", "llm_answer", "slm_answer"]


def count_failures(curated: pd.DataFrame, assignments: pd.DataFrame) -> tuple[Json, pd.DataFrame]:
    """Failures by group, {group: {total, by_reason, newest, held_out}}, and the training split's failures one by one (COLUMNS).

    `curated` and `assignments` (CURATED_COLUMNS, ASSIGNMENT_COLUMNS) hold all days. `total` counts the training split only,
    and there only what can be trained on: a failure in another split stays unseen and is counted as `held_out`. Calls
    without a group are left out.
    """
    failed = curated[is_failure(curated)]
    failed = failed.merge(assignments[ASSIGNMENT_COLUMNS], on="id").dropna(subset="group").sort_values(["group", "day", "id"])
    counts = {group: _count(rows[rows["split"] == "train"], len(rows)) for group, rows in failed.groupby("group")}
    rows = failed[failed["split"] == "train"].rename(columns={"failed_model": "model", "failed_reason": "reason"})
    rows = rows.assign(llm_answer=[_words(a) for a in rows["answer"]], slm_answer=[_words(a) for a in rows["failed_answer"]])
    return counts, rows[COLUMNS].reset_index(drop=True)


def _count(training: pd.DataFrame, failures: int) -> Json:
    return {
        "total": len(training),
        "by_reason": {reason: int(n) for reason, n in sorted(training["failed_reason"].value_counts().items())},
        "newest": training["day"].max() if len(training) else None,
        "held_out": failures - len(training),
    }


def totals_table(counts: Json, seen: dict[str, int], threshold: int) -> str:
    """A Markdown table of failures by group; `seen` are the totals its newest adapter was trained on."""
    lines = ["| group | failures | since newest adapter | until retraining | held out | newest | reasons |"]
    lines.append("|---|---:|---:|---:|---:|---|---|")
    for group, count in counts.items():
        since = count["total"] - seen.get(group, 0)
        reasons = ", ".join(f"{reason} {n}" for reason, n in count["by_reason"].items())
        due = max(0, threshold - since) if group in seen else "no adapter"
        lines.append(f"| {group} | {count['total']} | {since} | {due} | {count['held_out']} | {count['newest'] or ''} | {reasons} |")
    return "\n".join(lines) if counts else "No SLM answer has failed yet."


def _words(answer: str | None) -> str:
    """The canonical string of a curated answer, given as JSON; empty if there is none."""
    if not isinstance(answer, str):
        return ""
    said = json.loads(answer)
    calls = tuple(ToolCall(call["name"], call["arguments"]) for call in said.get("tool_calls") or ())
    return render_answer(Answer(said.get("text") or "", calls), None)
