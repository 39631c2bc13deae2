"""Calls for tests."""

from slm_pipeline.records import AgentCall, Answer, response_of


def call(number: int = 0, session: str | None = None, text: str = "fine", question: str = "how are you?", **more) -> AgentCall:
    """A well-formed call: the user asks `question`, the teacher answers `text`."""
    fields = {
        "id": f"c{number}",
        "timestamp": 1_790_900_000 + number,
        "agent": "a",
        "session_id": session or f"s{number}",
        "client_id": "client",
        "request": {"model": "m", "messages": [{"role": "user", "content": question}]},
        "response": response_of(Answer(text=text), "m"),
    }
    return AgentCall.model_validate(fields | more)
