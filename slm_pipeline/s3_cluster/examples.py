"""The examples of a group: what the SLM is asked, what it shall answer, and which of them are worth training on."""

from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
import pandas as pd

from slm_pipeline.answers import answer_form, json_form, parse_answer
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s3_cluster import near_duplicates, quality
from slm_pipeline.s3_cluster.example_rows import COLUMNS, COUNTED, Gathered, gather, is_failure, read_answer, varying_text
from slm_pipeline.settings import Settings

__all__ = [
    "COLUMNS",
    "REASONS",
    "SETTINGS",
    "VERSION",
    "Built",
    "Gathered",
    "build_examples",
    "gather",
    "group_tasks",
    "is_failure",
    "read_answer",
    "stored",
    "version_of",
]

VERSION = 3  # raise it when the same rows shall give other examples
SETTINGS = {"seed", "max_answer_tokens", "max_group_examples", "near_similarity", "min_form_share"}
Texts = dict[int, tuple[str, str]]
REASONS = ("over_long", "same_as_test", "wrong_form", "outlier", "low_agreement", "near_duplicates")


class Built(NamedTuple):
    """`examples`: COLUMNS, sorted by split, timestamp, id. `left_out`: the rows that training loses, with a column `reason` of
    REASONS. `summary`: counts. Examples and left_out together are the rows they were chosen from."""

    examples: pd.DataFrame
    left_out: pd.DataFrame
    summary: Json


def build_examples(gathered: Gathered, settings: Settings) -> Built:
    """Choose the examples among the rows.

    Validation, calibration and test keep every call that has a target, except those of which a router or verifier chose who answers
    (`AgentCall.chosen`): where an SLM failed they would make the traffic look harder than it is, where it passed easier, and a replay
    repeats a call that is there. Uniform audits stand for them. Training
    loses, in this order: what S2 dropped; answers of more than `max_answer_tokens`; whatever asks (nearly) what a test example
    asks (`near_duplicates.asked_among`); answers in a wrong form, outliers and answers that near neighbours contradict
    (`quality.py`), but never calls on which an SLM failed; near-duplicates of another training example in varying part and
    answer (its `weight` counts them; if an SLM failed on one of them, that one stays).
    """
    rows = gathered.rows.sort_values(["timestamp", "id"], kind="stable", ignore_index=True).assign(weight=1)
    training = rows[rows["split"] == "train"]
    texts = _texts(training)
    reasons = pd.Series("", index=training.index, dtype="str")
    reasons[training["tokens"] > settings.max_answer_tokens] = "over_long"
    reasons[(reasons == "") & _same_as_test(training, texts, rows[rows["split"] == "test"], settings)] = "same_as_test"
    for reason, found in _unlike(training[reasons == ""], texts, settings).items():
        reasons[found] = reason
    weights = _weights(training[reasons == ""], texts, settings)
    rows.loc[list(weights), "weight"] = list(weights.values())
    reasons[[i for i in training.index[reasons == ""] if i not in weights]] = "near_duplicates"
    lost = reasons[reasons != ""]
    examples = rows.drop(index=lost.index).sort_values(["split", "timestamp", "id"], kind="stable", ignore_index=True)
    left_out = rows.loc[lost.index].assign(reason=lost).reset_index(drop=True)
    return Built(examples, left_out, _summary(examples, Counter(lost), gathered))


def stored(examples: pd.DataFrame, left_out: pd.DataFrame, days: dict[str, Json]) -> Gathered:
    """What was gathered, from what `build_examples` made of it and the `days` stored beside."""
    return Gathered(pd.concat([examples, left_out.drop(columns="reason")], ignore_index=True), days)


def version_of(examples: pd.DataFrame, tasks: Json) -> str:
    """The digest of the examples and of tasks.json: the same if they are, whatever days they were gathered from."""
    return digest(pd.util.hash_pandas_object(examples, index=False).to_numpy().tobytes(), list(examples.columns), tasks)


def group_tasks(tasks: list[Json], examples: pd.DataFrame) -> Json:
    """tasks.json: by task key what prompts, schemas and reports need. `forms`: how its training answers are decoded (`answer_schema`)."""
    forms: dict[str, set[str]] = {task["key"]: set() for task in tasks}
    asked = {task["key"]: task["response_format"] for task in tasks}
    for row in examples[examples["split"] == "train"].itertuples():
        if row.form == "text":
            forms[row.task].add(json_form(row.answer, asked[row.task]) or "text")
        else:
            forms[row.task].add(answer_form(parse_answer(row.answer)))
    kept = ("name", "tools", "response_format", "system", "text_prefix", "text_suffix")
    return {task["key"]: {key: task[key] for key in kept} | {"forms": sorted(forms[task["key"]])} for task in tasks}


def _texts(rows: pd.DataFrame) -> Texts:
    """Varying part and answer by index, as near-duplicates are judged by them."""
    return {row.Index: (varying_text(row.messages, row.task), row.answer) for row in rows.itertuples()}


def _same_as_test(training: pd.DataFrame, texts: Texts, test: pd.DataFrame, settings: Settings) -> np.ndarray:
    ordered = [*texts.values(), *_texts(test).values()]
    return near_duplicates.asked_among(list(training["signature"]), list(test["signature"]), ordered.__getitem__, settings.near_similarity)


def _unlike(training: pd.DataFrame, texts: Texts, settings: Settings) -> dict[str, list[int]]:
    """The rows, by index, that are not like the others of their task, by reason; each row once."""
    found: dict[str, list[int]] = {"wrong_form": [], "outlier": [], "low_agreement": []}
    for _, task in training.groupby("task"):
        wrong = quality.wrong_form(list(task["action"]), settings.min_form_share) & ~task["failed"].to_numpy()
        found["wrong_form"] += task.index[wrong].tolist()
        rest = task[~wrong]
        for _, same_form in rest.groupby(rest["action"].where(rest["action"] == "json", rest["form"])):
            questions = [texts[i][0] for i in same_form.index]
            far = quality.outliers(questions, list(same_form["answer"])) & ~same_form["failed"].to_numpy()
            found["outlier"] += same_form.index[far].tolist()
        rest = rest.drop(index=[i for i in found["outlier"] if i in rest.index])
        ordered = [texts[i] for i in rest.index]
        questions, alike = near_duplicates.asked_alike(list(rest["signature"]), ordered.__getitem__, quality.SAME_QUESTION)
        alone = quality.low_agreement(list(rest["action"]), questions, alike) & ~rest["failed"].to_numpy()
        found["low_agreement"] += rest.index[alone].tolist()
    return found


def _weights(training: pd.DataFrame, texts: Texts, settings: Settings) -> dict[int, int]:
    """The rows, by index, that stand for their near-duplicates, and how many calls each stands for."""
    index, failed, signatures = training.index.tolist(), training["failed"].tolist(), training["signature"].tolist()
    sessions = training["session_id"].tolist()
    represented = near_duplicates.find(signatures, lambda i: texts[index[i]], sessions, settings.near_similarity)
    members: dict[int, list[int]] = defaultdict(list)
    for i, representative in enumerate(represented.tolist()):
        members[representative].append(i)
    weights = {}
    for representative, same in members.items():
        failures = {near_duplicates.equal_key(signatures[i]): i for i in reversed(same) if failed[i]}
        kept = sorted(failures.values()) or [representative]
        weights |= {index[i]: 1 for i in kept[1:]} | {index[kept[0]]: len(same) - len(kept) + 1}
    return weights


def _summary(examples: pd.DataFrame, lost: Counter[str], gathered: Gathered) -> Json:
    training, days = examples[examples["split"] == "train"], gathered.days.values()
    counted = {reason: sum(day[reason] for day in days) for reason in COUNTED}
    counted["beyond_limit"] = sum(day["rows"] for day in days) - len(gathered.rows)
    return {
        "splits": {split: int((examples["split"] == split).sum()) for split in ("train", "validation", "calibration", "test")},
        "left_out": counted | {reason: lost[reason] for reason in REASONS},
        "failures": int(training["failed"].sum()),
        # counted as `fallback_failures` counts them: the watermark of `retrain_on_fallbacks`
        "failures_total": sum(day["failures_total"] for day in days),
        "tasks": int(examples["task"].nunique()),
        "forms": {form: int(n) for form, n in sorted(training["form"].value_counts().items())},
        "index_bytes_per_call": near_duplicates.BYTES_PER_CALL,
    }
