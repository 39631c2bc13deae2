"""Scores that somebody gave an answer, as the outcome of a call."""

import re
from collections.abc import Iterable

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.fields import number, table

# higher is better; what else is measured (toxicity, length) says nothing about whether the answer may be learned
JUDGING = re.compile(r"(user_?)?(feedback|score|rating)|success|correct(ness)?|accepted|thumbs|reward|quality|helpful(ness)?")
YES, NO = ("yes", "true", "pass", "correct"), ("no", "false", "fail", "incorrect")


def outcome_of(scores: Iterable[tuple[object, object]]) -> Json | None:
    """Pairs of name and value as an `outcome`: all under `scores`; those whose name says that they judge also as `success` or `score`.

    Of several the worst counts. A "correction" is the answer that was wanted: text, or a message.
    """
    made: Json = {}
    for name, value in scores:
        if not isinstance(name, str) or value is None:
            continue
        made.setdefault("scores", {})[name] = value
        word = name.lower().replace("-", "_").replace(" ", "_")
        verdict = value.lower() in YES if isinstance(value, str) and value.lower() in YES + NO else value
        if word == "correction" and isinstance(value, str | dict):
            message = table(value)
            is_message = "content" in message or "tool_calls" in message
            made["correction"] = {"role": "assistant"} | (message if is_message else {"content": value})
        elif not JUDGING.fullmatch(word):
            continue
        elif isinstance(verdict, bool):
            made["success"] = made.get("success", True) and verdict
        elif isinstance(verdict, int | float) and number(verdict) is not None:
            made["score"] = min(made.get("score", verdict), verdict)
    return made or None
