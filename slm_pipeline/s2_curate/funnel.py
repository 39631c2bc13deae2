"""The quality funnel: why a call is not trained on.

Only the training split is filtered: the others keep every well-formed call, else they would measure easy traffic.
"""

import json
import re
from functools import lru_cache
from typing import Any

import jsonschema_rs

from slm_pipeline.records import AgentCall, Answer, Json, Split, Target, text_of
from slm_pipeline.s2_curate.endings import is_cut, is_refusal
from slm_pipeline.s2_curate.injection import obeyed_injection
from slm_pipeline.s2_curate.language import wrong_language

# what people and their tools say of an answer that was bad, in the keys and `scores` of an outcome
NEGATIVE = {
    "down",
    "thumbs_down",
    "thumbsdown",
    "thumbs down",
    "negative",
    "bad",
    "wrong",
    "dislike",
    "no",
    "false",
    "fail",
    "failed",
    "👎",
}
VERDICT = re.compile(r"(user_?)?(feedback|rating|thumbs?(_?(up|down))?|vote|sentiment)|success|accepted|correct(ness)?", re.IGNORECASE)
BAD_STARS = 2  # of five, which is how people are asked for a rating
REASONS = (
    "malformed",
    "failed_call",
    "embedding",
    "slm_served",
    "no_target",
    "failed_outcome",
    "truncated",
    "empty_answer",
    "refusal",
    "invalid_tool_call",
    "invalid_json",
    "wrong_language",
    "obeyed_injection",
    "exact_repeat",
)


def drop_reason(call: AgentCall, target: Target | None, split: Split) -> str | None:
    """Why the call cannot be used (any split) or is not trained on (training split); None if it is kept.

    Exact repeats are judged later, over all calls.
    """
    if not _well_formed(call):
        return "failed_call" if call.failed else "embedding" if call.api == "embeddings" else "malformed"
    if target is None and call.served_by_slm:
        return "slm_served"
    if split != "train":
        return "no_target" if target is None else None
    return _doubt(call, target)


def _doubt(call: AgentCall, target: Target | None) -> str | None:
    choice = {} if call.served_by_slm else call.response["choices"][0]
    judged_here = target is None or (target.source == "teacher" and not call.served_by_slm)
    if judged_here and failed(call.outcome):
        return "failed_outcome"
    if judged_here and choice.get("finish_reason") == "length":
        return "truncated"
    if judged_here and (choice.get("finish_reason") == "content_filter" or choice["message"].get("refusal")):
        return "refusal"
    if target is None:
        return "invalid_tool_call" if choice["message"].get("tool_calls") else "empty_answer"
    if any(not _valid_call(name, arguments, call.request) for name, arguments in _calls(target.answer)):
        return "invalid_tool_call"
    text = target.answer.text
    if target.source == "teacher" and (is_cut(text) or is_refusal(text)):
        return "truncated" if is_cut(text) else "refusal"
    response_format = call.request.get("response_format")
    if text and not _valid_json(text, response_format):
        return "invalid_json"
    return _suspect(call, target) if target.source == "teacher" else None


def _suspect(call: AgentCall, target: Target) -> str | None:
    messages, text = call.request["messages"], target.answer.text
    if text and wrong_language([text_of(message) for message in messages if message["role"] != "assistant"], text):
        return "wrong_language"
    return "obeyed_injection" if obeyed_injection(messages, target.answer) else None


def failed(outcome: Json | None) -> bool:
    """Whether feedback says that the session or the call went wrong.

    It does by `success` false, by a `reward` or `score` of 0 or less, or by a verdict (thumbs, vote, feedback, rating) that is
    negative, also among `scores`. A `rating` is taken as stars of five.
    """
    outcome = outcome or {}
    scores = (outcome.get("reward"), outcome.get("score"))
    if outcome.get("success") is False or any(isinstance(score, int | float) and score <= 0 for score in scores):
        return True
    named = outcome | (outcome["scores"] if isinstance(outcome.get("scores"), dict) else {})
    return any(_is_bad(name.lower(), value) for name, value in named.items() if VERDICT.fullmatch(name))


def _is_bad(name: str, value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in NEGATIVE
    if isinstance(value, bool):
        return value == ("down" in name)
    if not isinstance(value, int | float):
        return False
    stars = "rating" in name and (isinstance(value, int) or value > 1)  # 0.9 is a share, 1 is the worst of five
    return value <= (BAD_STARS if stars else 0)


def _well_formed(call: AgentCall) -> bool:
    messages, choices = call.request.get("messages"), call.response.get("choices")
    asked = isinstance(messages, list) and messages and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in messages)
    answered = isinstance(choices, list) and choices and isinstance(choices[0], dict) and isinstance(choices[0].get("message"), dict)
    return bool(asked and answered)


def _calls(answer: Answer) -> list[tuple[str, Json]]:
    return [(call.name, call.arguments) for call in answer.tool_calls]


def _valid_call(name: str, arguments: Json, request: Json) -> bool:
    for tool in request.get("tools") or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and function.get("name") == name:
            return _fits(arguments, function.get("parameters") or {})
    return False


def _valid_json(text: str, response_format: Any) -> bool:
    kind = response_format.get("type") if isinstance(response_format, dict) else None
    if kind not in ("json_object", "json_schema"):
        return True
    try:
        value = json.loads(text)
    except ValueError:
        return False
    schema = (response_format.get("json_schema") or {}).get("schema") if kind == "json_schema" else {"type": "object"}
    return _fits(value, schema or {})


def _fits(value: Any, schema: Json) -> bool:
    validator = _validator(json.dumps(schema, sort_keys=True))
    return validator is None or validator.is_valid(value)


@lru_cache(maxsize=1024)
def _validator(schema: str):
    """A validator that never fetches a reference; None for what is no JSON schema, which cannot refuse anything."""
    try:
        return jsonschema_rs.validator_for(json.loads(schema), offline=True)
    except (ValueError, jsonschema_rs.ReferencingError):
        return None
