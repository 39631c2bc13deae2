"""Errors as clients expect them: in OpenAI's form, or in Anthropic's on its paths."""

import orjson

from slm_pipeline.records import Json

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class CallError(Exception):
    """An answer that is an error. `body` and `headers` are an upstream's own, passed on if they are in the client's form."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        param: str | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ):
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.body, self.headers = body, headers or {}


def openai_error(status: int, message: str, code: str | None, param: str | None = None) -> Json:
    """{"error": {"message", "type", "param", "code"}}"""
    return {"error": {"message": message, "type": _TYPES.get(status, "api_error"), "param": param, "code": code}}


def anthropic_error(status: int, message: str, code: str | None, param: str | None = None) -> Json:
    """{"type": "error", "error": {"type", "message"}}; the code stands in front of the message."""
    return {"type": "error", "error": {"type": _TYPES.get(status, "api_error"), "message": f"{code}: {message}" if code else message}}


def in_form(body: bytes, anthropic: bool) -> bool:
    """Whether an upstream's error body can be passed on as it is."""
    try:
        value = orjson.loads(body)
    except ValueError:
        return False
    error = value.get("error") if isinstance(value, dict) else None
    return isinstance(error, dict) and isinstance(error.get("message"), str) and (not anthropic or value.get("type") == "error")
