"""What of a group's calls an example may be made of, one row per call, kept from one run to the next.

A row depends on its call and task alone, so the rows of a day that has not changed are taken over as they are; only what is
chosen from them (`examples.py`) looks at all rows at once.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from slm_pipeline.answers import render_answer
from slm_pipeline.lake import digest
from slm_pipeline.records import Answer, Json, ToolCall
from slm_pipeline.s3_cluster.assignment import STATIC
from slm_pipeline.s3_cluster.near_duplicates import SEPARATOR, signature
from slm_pipeline.s3_cluster.parts import parts_of
from slm_pipeline.s3_cluster.quality import action_of
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages
from slm_pipeline.settings import Settings

VERSION = 4  # raise it when the same calls shall give other rows
COLUMNS = {
    "id": "str",
    "session_id": "str",
    "timestamp": "float64",
    "day": "str",
    "agent": "str",
    "task": "str",
    "split": "str",
    "weight": "int64",
    "form": "str",
    "messages": "str",
    "full_messages": "str",
    "answer": "str",
    "target_source": "str",
    "teacher_answer": "str",
    "outcome": "str",
    "failed": "bool",
    "rejected_answer": "str",
    "action": "str",
    "tokens": "int64",
    "signature": "object",
}
COUNTED = ("dropped_by_curation", "template_changed", "chosen")


class Gathered(NamedTuple):
    """`rows`: COLUMNS, at most `max_group_examples` of each split. `days`: by day its `source` (what it was made from), the number
    of `rows` it had, `failures_total`, and how many calls are no example for each reason of COUNTED."""

    rows: pd.DataFrame
    days: dict[str, Json]


def gather(
    sources: Mapping[str, str],
    read: Callable[[str], pd.DataFrame],
    tasks: dict[str, Json],
    settings: Settings,
    count_tokens: Callable[[str], int],
    earlier: Gathered | None = None,
) -> Gathered:
    """The rows of all days of `sources`, a digest of each day's calls by day.

    `read(day)`: the curated calls of a group on that day, with a column `task`; one day is held at a time. `earlier`: what was
    gathered before with the same tasks and settings; its unchanged days are not read again. The same as without it.
    """
    known = earlier.days if earlier else {}
    kept = {day: found for day, found in known.items() if sources.get(day) == found["source"]}
    if earlier and len(kept) < len(known) and len(earlier.rows) < sum(found["rows"] for found in known.values()):
        kept = {}  # a row that the limit left out may be among the first ones now
    rows = earlier.rows[earlier.rows["day"].isin(set(kept))] if earlier else _table([])
    days = dict(kept)
    for day in sorted(sources.keys() - kept.keys()):
        made, days[day] = example_rows(read(day), tasks, count_tokens)
        days[day]["source"] = sources[day]
        rows = _limited(pd.concat([rows, made], ignore_index=True), settings)
    rows = rows.sort_values(["timestamp", "id"], kind="stable", ignore_index=True)
    return Gathered(rows, {day: days[day] for day in sorted(days)})


def rows_digest(tasks: Iterable[Json], settings: Settings) -> str:
    """Changes exactly when the rows kept of the same calls could be others: part of each day's source."""
    used = [
        [task["key"], task["slug"], task["tools"], [{field: part[field] for field in ("variants", *STATIC)} for part in parts_of(task)]]
        for task in tasks
    ]
    # the first base's tokenizer counts the tokens
    return digest(VERSION, used, settings.base_models[0], settings.seed, settings.max_group_examples)


def example_rows(calls: pd.DataFrame, tasks: dict[str, Json], count_tokens: Callable[[str], int]) -> tuple[pd.DataFrame, Json]:
    """The rows (COLUMNS) of curated calls with a column `task`, and the counts of `Gathered.days`.

    `tokens` is counted for the training split only.
    """
    counts: Counter[str] = Counter()
    rows = [row for call in calls.to_dict("records") if (row := _row(call, tasks, count_tokens, counts))]
    found = {reason: counts[reason] for reason in COUNTED}
    found["failures_total"] = int((is_failure(calls) & (calls["split"] == "train")).sum())
    return _table(rows), found | {"rows": len(rows)}


def is_failure(calls: pd.DataFrame) -> pd.Series:
    """Which of the curated calls are failures: an SLM's answer was not used, and what the LLM said instead can be used."""
    return calls["failed_model"].notna() & calls["drop_reason"].isna()


def read_answer(text: str) -> Answer:
    """The answer in a curated row's JSON."""
    answer = json.loads(text)
    return Answer(answer["text"], tuple(ToolCall(call["name"], call["arguments"]) for call in answer["tool_calls"]))


def varying_text(messages: str, task: str) -> str:
    """The varying part of an example (its `messages`, JSON) as `near_duplicates` reads it: the task, then one text per message."""
    varying = json.loads(messages)[1:]
    roles = " ".join(message["role"] for message in varying)
    return _encodable(SEPARATOR.join([f"{task} {roles}", *(message["content"] for message in varying)]))


def _row(call: Json, tasks: dict[str, Json], count_tokens: Callable[[str], int], counts: Counter[str]) -> Json | None:
    training = call["split"] == "train"
    if pd.isna(call["answer"]) or (training and pd.notna(call["drop_reason"])):
        counts["dropped_by_curation"] += 1
        return None
    request, answer = json.loads(call["request"]), read_answer(call["answer"])
    try:
        factored = factor(request, tasks[call["task"]])
    except TemplateChanged:
        counts["template_changed"] += 1
        return None
    failed = pd.notna(call["failed_model"])
    if not training and call["chosen"]:
        counts["chosen"] += 1
        return None
    messages, tools = json.dumps(factored), request.get("tools")
    rendered = _encodable(render_answer(answer, tools))
    return {key: call[key] for key in ("id", "session_id", "timestamp", "day", "agent", "task", "split", "target_source", "outcome")} | {
        "weight": 1,
        "form": answer.form,
        "messages": messages,
        "full_messages": json.dumps(full_messages(request)),
        "answer": rendered,
        "teacher_answer": _rendered(call["teacher_answer"], tools),
        "failed": failed,
        "rejected_answer": _rendered(call["failed_answer"], tools),
        "action": action_of([tool.name for tool in answer.tool_calls], rendered),
        "tokens": count_tokens(rendered) if training else 0,
        "signature": signature(varying_text(messages, call["task"]), rendered),
    }


def _rendered(answer: str | None, tools: list[Json] | None) -> str | None:
    return None if pd.isna(answer) else _encodable(render_answer(read_answer(answer), tools))


def _limited(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The first `max_group_examples` rows of each split: failures, then by a seeded hash, so that a call's place is its own."""
    if rows["split"].value_counts().max() <= settings.max_group_examples:
        return rows
    rank = [digest(settings.seed, id_) for id_ in rows["id"]]
    ordered = rows.assign(rank=rank).sort_values(["failed", "rank", "id"], ascending=[False, True, True], kind="stable")
    return ordered.groupby("split", sort=False).head(settings.max_group_examples).drop(columns="rank")


def _table(rows: list[Json]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _encodable(text: str) -> str:
    """Half a surrogate pair is nothing a tokenizer or a file takes."""
    return text.encode("utf-8", "replace").decode()
