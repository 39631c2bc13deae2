"""A table of graded answers, failures first: what a person reads to see how an adapter goes wrong."""

import json
from collections import Counter

import pandas as pd

from slm_pipeline.answers import given_answer, target_answer
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.evaluation import ALL_SCORES
from slm_pipeline.scores import wrong_arguments
from slm_pipeline.settings import Settings

COLUMNS = ["verdict", "wrong_arguments", "prompt", "target", "given", *ALL_SCORES, "id", "task", "checker_error"]
PASSED = "passed"


def graded_answers(test: pd.DataFrame, predictions: pd.DataFrame, tasks: Json, metric: str, settings: Settings) -> pd.DataFrame:
    """The adapter's answers on the test split (COLUMNS), failures first, the worst of them first.

    What is shown is redacted as it is in the lake. `verdict` is "passed", or why the answer is no good: no_answer, no_call (text where a
    call was due), needless_call, wrong_tool, wrong_arguments, invalid_arguments, other_text, rejected (by a checker).
    """
    adapter = predictions[predictions["system"] == "adapter"]
    rows = test[["id", "messages", "answer", "form"]].rename(columns={"answer": "target", "form": "due"}).merge(adapter, on="id")
    told = [_told(row, tasks[row["task"]].get("tools") or [], metric, settings) for row in rows.to_dict("records")]
    rows = rows.assign(
        verdict=[verdict for verdict, _ in told],
        wrong_arguments=[", ".join(wrong) for _, wrong in told],
        prompt=[_as_text(messages) for messages in rows["messages"]],
        given=rows["answer"],
    )
    rows = rows.assign(good=rows["verdict"] == PASSED).sort_values(["good", metric, "similarity", "id"], kind="stable")
    return rows[COLUMNS].reset_index(drop=True)


def _told(row: Json, tools: list[Json], metric: str, settings: Settings) -> tuple[str, list[str]]:
    """Verdict, and the arguments that are wrong."""
    if not isinstance(row["answer"], str):  # a missing value of pandas
        return "no_answer", []
    target, given = target_answer({"answer": row["target"], "form": row["due"]}), given_answer(row["answer"], tools)
    wrong = wrong_arguments(target, given, tools, settings.leeway)
    if metric == "checked":
        return ("rejected" if row["checked"] < 1 else PASSED), wrong
    if target.form != given.form:
        return ("no_call" if target.tool_calls else "needless_call"), []
    if target.form == "text":
        return (PASSED if row["similarity"] >= settings.similarity_pass else "other_text"), []
    if not row["tool"]:
        return "wrong_tool", []
    return (PASSED if row["call"] else "wrong_arguments" if row["valid"] else "invalid_arguments"), wrong


def _as_text(messages: str) -> str:
    return "\n\n".join(f"[{message['role']}] {message['content']}" for message in json.loads(messages))


def failure_counts(rows: pd.DataFrame) -> Json:
    """How often each verdict was given, and each argument was wrong; names only, so that a panel quotes no prompt."""
    arguments = (name for wrong in rows["wrong_arguments"] if wrong for name in wrong.split(", "))
    counted = {"verdicts": Counter(rows["verdict"]), "arguments": Counter(arguments)}
    return {of: dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))) for of, counts in counted.items()}
