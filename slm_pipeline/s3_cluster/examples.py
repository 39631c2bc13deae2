"""The examples of a group: what the SLM is asked, what it shall answer, and which of them are worth training on."""

import json
from collections import Counter
from collections.abc import Callable

import pandas as pd

from slm_pipeline.answers import answer_form, render_answer
from slm_pipeline.records import Answer, Json, ToolCall
from slm_pipeline.s3_cluster.templates import TemplateChanged, factor, full_messages
from slm_pipeline.settings import Settings

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
}


def build_examples(
    calls: pd.DataFrame, tasks: dict[str, Json], settings: Settings, count_tokens: Callable[[str], int]
) -> tuple[pd.DataFrame, Json]:
    """The examples (COLUMNS, sorted by split, timestamp, id) of curated calls with a column `task`, and the summary.

    Validation, calibration and test keep every call that has a target, except those that an SLM was asked before: where it failed
    they would make the traffic look harder than it is, where it passed easier, and a replay repeats a call that is there. Training
    loses what S2 dropped, answers of more than `max_answer_tokens`, repeats of another training example in varying part and
    answer (its `weight` counts them; a failed one stays, as failed), and whatever has the varying part of a test example.
    """
    counts: Counter[str] = Counter()
    rows = [row for call in calls.to_dict("records") if (row := _example(call, tasks, counts))]
    counts["failures_total"] = int((is_failure(calls) & (calls["split"] == "train")).sum())
    counts["asked_an_slm"] = sum(row["asked_an_slm"] and row["split"] != "train" for row in rows)
    rows = [row for row in rows if row["split"] == "train" or not row["asked_an_slm"]]
    rows.sort(key=lambda row: (row["timestamp"], row["id"]))
    asked_in_test = {row["asked"] for row in rows if row["split"] == "test"}
    training: dict[tuple[str, str], Json] = {}
    for row in rows:
        if row["split"] != "train":
            continue
        if count_tokens(row["answer"]) > settings.max_answer_tokens:
            counts["over_long"] += 1
        elif row["asked"] in asked_in_test:
            counts["same_as_test"] += 1
        else:
            key = (row["asked"], _normal(row["answer"]))
            other = training.get(key)
            counts["near_duplicates"] += other is not None
            keep = row if other is None or (row["failed"] and not other["failed"]) else other
            training[key] = keep | {"weight": 1 if other is None else other["weight"] + 1}
    kept = [row for row in rows if row["split"] != "train"] + list(training.values())
    kept.sort(key=lambda row: (row["split"], row["timestamp"], row["id"]))
    examples = pd.DataFrame(kept, columns=list(COLUMNS)).astype(COLUMNS)
    return examples, _summary(examples, counts)


def is_failure(calls: pd.DataFrame) -> pd.Series:
    """Which of the curated calls are failures: an SLM's answer was not used, and what the LLM said instead can be used."""
    return calls["failed_model"].notna() & calls["drop_reason"].isna()


def group_tasks(tasks: list[Json], examples: pd.DataFrame, calls: pd.DataFrame) -> Json:
    """tasks.json: by task key what prompts, schemas and reports need. `forms`: how its training answers are decoded (`answer_schema`)."""
    trained = set(examples.loc[examples["split"] == "train", "id"])
    used = calls[calls["id"].isin(trained)]
    forms: dict[str, set[str]] = {task["key"]: set() for task in tasks}
    for key, answer in zip(used["task"], used["answer"], strict=True):
        forms[key].add(answer_form(read_answer(answer)))
    kept = ("name", "tools", "response_format", "system", "text_prefix", "text_suffix")
    return {task["key"]: {key: task[key] for key in kept} | {"forms": sorted(forms[task["key"]])} for task in tasks}


def read_answer(text: str) -> Answer:
    """The answer in a curated row's JSON."""
    answer = json.loads(text)
    return Answer(answer["text"], tuple(ToolCall(call["name"], call["arguments"]) for call in answer["tool_calls"]))


def _example(call: Json, tasks: dict[str, Json], counts: Counter[str]) -> Json | None:
    if pd.isna(call["answer"]) or (call["split"] == "train" and pd.notna(call["drop_reason"])):
        counts["dropped_by_curation"] += 1
        return None
    request, answer = json.loads(call["request"]), read_answer(call["answer"])
    try:
        messages = factor(request, tasks[call["task"]])
    except TemplateChanged:
        counts["template_changed"] += 1
        return None
    recorded = call["teacher_answer"]
    return {key: call[key] for key in ("id", "session_id", "timestamp", "day", "agent", "task", "split", "target_source", "outcome")} | {
        "weight": 1,
        "form": answer.form,
        "messages": json.dumps(messages),
        "full_messages": json.dumps(full_messages(request)),
        "answer": _encodable(render_answer(answer, request.get("tools"))),
        "teacher_answer": None if pd.isna(recorded) else _encodable(render_answer(read_answer(recorded), request.get("tools"))),
        "failed": pd.notna(call["failed_model"]),
        "asked_an_slm": pd.notna(call["failed_model"]) or call["served_by"] == "slm",
        "asked": _normal(f"{call['task']} {json.dumps(messages[1:])}"),
    }


def _encodable(text: str) -> str:
    """Half a surrogate pair is nothing a tokenizer or a file takes."""
    return text.encode("utf-8", "replace").decode()


def _normal(text: str) -> str:
    return " ".join(text.lower().split())


def _summary(examples: pd.DataFrame, counts: Counter[str]) -> Json:
    training = examples[examples["split"] == "train"]
    left_out = ("dropped_by_curation", "template_changed", "over_long", "near_duplicates", "same_as_test", "asked_an_slm")
    return {
        "splits": {split: int((examples["split"] == split).sum()) for split in ("train", "validation", "calibration", "test")},
        "left_out": {reason: counts[reason] for reason in left_out},
        "failures": int(training["failed"].sum()),
        # counted as `fallback_failures` counts them: the watermark of `retrain_on_fallbacks`
        "failures_total": counts["failures_total"],
        "tasks": int(examples["task"].nunique()),
        "forms": {form: int(n) for form, n in sorted(training["form"].value_counts().items())},
    }
