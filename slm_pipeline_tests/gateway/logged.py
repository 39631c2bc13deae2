"""What a test asks of the call log and of the upstream: the records and requests that hold its own words."""

from slm_pipeline.records import AgentCall, Json, response_answer, target_of
from slm_pipeline_tests.gateway.recorded_upstream import Received, eventually
from slm_pipeline_tests.gateway.upstream_answers import dumps

FRAME = ("id", "created", "created_at")  # of a response: new in every one
STREAM = ("stream", "stream_options")


def logged(gateway, words: str, count: int = 1) -> list[AgentCall]:
    """The calls in the log whose request holds `words`: `count` of them, oldest first."""
    calls = []

    def there():
        calls[:] = [call for call in gateway.calls() if words in dumps(call.request)]
        return len(calls) >= count

    eventually(there)
    assert len(calls) == count, f"{len(calls)} calls in the log with {words!r}"
    return calls


def logged_answer(gateway, words: str):
    """The answer in the log to the one call that holds `words`."""
    (call,) = logged(gateway, words)
    assert call.route is None or (call.route.served_by == "llm" and not call.failed_attempts)
    return response_answer(call.response)


def assert_failed(gateway, words: str, reason: str = ""):
    """The log holds the one call with `words` as failed: nothing learns from it, and it says why."""
    (call,) = logged(gateway, words)
    assert target_of(call) is None
    assert call.route.reason
    attempts = call.route.attempts
    assert attempts
    assert all(attempt.verdict == "error" and attempt.reason for attempt in attempts)
    assert reason in call.route.reason + " ".join(attempt.reason for attempt in attempts)


def assert_left(gateway, words: str):
    """The log holds the one call with `words` as one whose client went away; nothing learns from it, for half an answer is none."""
    (call,) = logged(gateway, words)
    assert call.route.reason == "client_left"  # and not the time-out that would have ended it later
    assert target_of(call) is None


def received(gateway, words: str, count: int = 1) -> list[Received]:
    """The requests with `words` that came to the upstream: `count` of them, oldest first."""
    found = [request for request in gateway.upstream.requests if words in dumps(request.body)]
    assert len(found) == count, f"{len(found)} requests upstream with {words!r}"
    return found


def substance(value, without=()):
    """`value` without the keys `without` and without what says nothing: null, empty lists, empty objects."""
    if isinstance(value, dict):
        kept = {key: substance(part) for key, part in value.items() if key not in without}
        return {key: part for key, part in kept.items() if part not in (None, [], {})}
    return [substance(part) for part in value] if isinstance(value, list) else value


def tool(name: str, *parameters: str) -> Json:
    """A function tool whose parameters are strings."""
    properties = {parameter: {"type": "string"} for parameter in parameters}
    schema = {"type": "object", "properties": properties, "required": list(parameters), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": f"Tells the {name}.", "parameters": schema}}


def user(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


PICTURE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS = [tool("weather", "city"), tool("news", "topic", "day")]
