"""The quality funnel: why a call is not trained on.

Only the training split is filtered: the others keep every well-formed call, else they would measure easy traffic.
"""

import json
import re
from functools import lru_cache
from typing import Any

import jsonschema_rs

from slm_pipeline.records import AgentCall, Answer, Json, Split, Target

# the whole of a short answer that declines; "I'm sorry, but" before a reasoned answer is none
REFUSAL = re.compile(
    r"\s*(i['’]?m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately)?[,.]?\s*(but )?(as an ai( language model)?,? )?"
    r"i( can['’]?t| cannot| am unable to| am not able to|['’]m unable to|['’]m not able to)"
    r"( assist| help| fulfil+| comply| continue)\b[^.!]{0,60}[.!]?\s*",
    re.IGNORECASE,
)
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
    if target.source == "teacher" and REFUSAL.fullmatch(target.answer.text or "-"):
        return "refusal"
    if any(not _valid_call(name, arguments, call.request) for name, arguments in _calls(target.answer)):
        return "invalid_tool_call"
    return None if target.answer.tool_calls or _valid_json(target.answer.text, call.request.get("response_format")) else "invalid_json"


def failed(outcome: Json | None) -> bool:
    """Whether feedback says that the session or the call went wrong."""
    outcome = outcome or {}
    scores = (outcome.get("reward"), outcome.get("score"))
    return outcome.get("success") is False or any(isinstance(score, int | float) and score <= 0 for score in scores)


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
