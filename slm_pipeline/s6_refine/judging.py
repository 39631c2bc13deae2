"""An LLM judges the adapter's answers on the test split, where the settings name one. Its replies are kept: nothing is asked twice."""

import json
from collections.abc import Callable

import pandas as pd

from slm_pipeline.intervals import mean_interval
from slm_pipeline.judge import Ask, JudgeUnavailable, judge_of, mark, prefer
from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings


def judged(test: pd.DataFrame, predictions: pd.DataFrame, replies: dict[str, str], settings: Settings, say: Callable[[str], None]) -> Json:
    """{"model", "form", "n", "score": mean from 0 to 1 with its interval, "unreadable", "unavailable"}; {} without a judge.

    At most `judge_calls` test calls are judged, drawn by content and seed: rated beside the target, or compared with the teacher's
    recorded answer. "n" were asked about; of "unreadable" ones a reply gave no verdict, and they have no score; "unavailable" says why
    the asking ended early. `replies` holds what the judge has said by what it was asked, and is added to.
    """
    if settings.judge_url is None:
        return {}
    beside = "answer" if settings.judge_form == "scale" else "teacher_answer"
    adapter = predictions[(predictions["system"] == "adapter") & predictions["answer"].notna()]
    rows = test[["id", "full_messages", beside]].rename(columns={beside: "other"}).dropna(subset="other").merge(adapter, on="id")
    rows = rows.assign(rank=[digest(settings.seed, messages) for messages in rows["full_messages"]]).sort_values(["rank", "id"])
    rows, scores, unavailable = rows.head(settings.judge_calls), [], None
    try:
        ask = _remembering(judge_of(settings), replies, settings)
        for row in rows.to_dict("records"):
            scores.append(_score(row, ask, settings))
            if len(scores) % 20 == 0 or len(scores) == len(rows):
                say(f"judge: {len(scores)} of {len(rows)} test calls")
    except JudgeUnavailable as error:
        unavailable = str(error)
        say(unavailable)
    asked = rows.head(len(scores))
    score = mean_interval(scores, asked["session_id"], settings.bootstrap_samples, settings.seed, asked["weight"])
    facts = {"model": settings.judge_model, "form": settings.judge_form, "n": len(scores), "score": score.json()}
    return facts | {"unreadable": sum(found is None for found in scores), "unavailable": unavailable}


def _score(row: Json, ask: Ask, settings: Settings) -> float | None:
    conversation = "\n\n".join(f"[{message['role']}] {message['content']}" for message in json.loads(row["full_messages"]))
    if settings.judge_form == "pairs":
        return prefer(conversation, row["answer"], row["other"], ask)
    return mark(conversation, row["other"], row["answer"], ask)


def _remembering(ask: Ask, replies: dict[str, str], settings: Settings) -> Ask:
    def remembered(messages: list[Json]) -> str:
        key = digest(settings.judge_url, settings.judge_model, messages)
        if key not in replies:
            replies[key] = ask(messages)
        return replies[key]

    return remembered
