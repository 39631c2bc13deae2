"""Feedback on a call or a session, as it comes in."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from slm_pipeline.gateway.errors import CallError
from slm_pipeline.records import Json, answer_of
from slm_pipeline.s1_collect.call_log import Feedback


def _message(value: Any) -> Any:
    message = {"role": "assistant", "content": value} if isinstance(value, str) else value
    if value is not None and (not isinstance(message, dict) or answer_of(message) is None):
        raise ValueError("must be the right answer: a text, or an assistant message with content or tool calls")
    return message


class FeedbackBody(BaseModel):
    """The body of `POST /v1/feedback`."""

    model_config = ConfigDict(extra="forbid")

    call_id: str | None = Field(None, min_length=1, max_length=200, description="the `x-slm-id` of the answer")
    session_id: str | None = Field(None, min_length=1, max_length=200)
    success: bool | None = Field(None, strict=True)
    score: float | None = Field(None, strict=True, allow_inf_nan=False, ge=-1e12, le=1e12, description="0 or less means failed")
    comment: str | None = Field(None, max_length=10_000)
    correction: Annotated[Json | None, BeforeValidator(_message)] = Field(None, description="what should have been answered")

    @model_validator(mode="after")
    def _says_something(self) -> "FeedbackBody":
        if (self.call_id is None) == (self.session_id is None):
            raise ValueError("give either call_id or session_id")
        if not self.outcome():
            raise ValueError("give at least one of success, score, comment, correction")
        if self.session_id is not None and self.correction is not None:
            raise ValueError("a correction is about one call: give call_id instead of session_id")
        return self

    def outcome(self) -> Json:
        return self.model_dump(include={"success", "score", "comment", "correction"}, exclude_none=True)


def feedback_of(body: bytes, client_id: str | None) -> Feedback:
    """The feedback that a body holds; about calls of `client_id` only, unless that is None. Raises CallError."""
    try:
        said = FeedbackBody.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or None
        message = f"{field}: {first['msg']}" if field else first["msg"]
        raise CallError(400, message, "invalid_feedback", field) from None
    return Feedback(said.outcome(), said.call_id, said.session_id, client_id)
