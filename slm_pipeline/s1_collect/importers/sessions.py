"""Which calls belong together, where nobody says so: a call whose messages repeat an earlier call's and its answer continues it."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterator

from slm_pipeline.records import Json, answer_of

SYSTEM = ("system", "developer")


class Sessions:
    """Remembers, in memory, where conversations stand; the longest unused are forgotten first.

    When a request arrives, `session_of` says which session it continues; when its answer is known, `remember` notes where
    the conversation stands now. Only calls of the same client are joined. Both take bodies in the form of OpenAI chat
    completions, and are total. Not thread-safe.
    """

    def __init__(self, remembered: int = 100_000):
        self._remembered = remembered
        self._sessions: OrderedDict[bytes, str] = OrderedDict()

    def session_of(self, client: str, request: Json, new_id: str) -> str:
        """The session of the latest answer that the messages repeat, or that `previous_response_id` names; else `new_id`."""
        session = new_id
        for state in [*_named(client, request.get("previous_response_id")), *(s for answered, s in _states(client, request) if answered)]:
            if state in self._sessions:
                self._sessions.move_to_end(state)
                session = self._sessions[state]
        return session

    def remember(self, client: str, request: Json, response: Json, session: str) -> None:
        """Note that `response`, a chat completion, answered `request` in `session`."""
        choices = response.get("choices")
        message = choices[0].get("message") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
        states = list(_named(client, response.get("id")))
        if isinstance(message, dict) and (said := _said(message | {"role": "assistant"})):
            *_, (_, state) = [(False, client.encode("utf-8", "replace")), *_states(client, request)]
            states.append(_extend(state, said))
        for state in states:
            self._sessions[state] = session
            self._sessions.move_to_end(state)
        while len(self._sessions) > self._remembered:
            self._sessions.popitem(last=False)


def opening(client: str, request: Json) -> str:
    """What all calls of a conversation have in common: a digest of its first turn, and of whose it is."""
    state = next((state for _, state in _states(client, request)), client.encode("utf-8", "replace"))
    return state.hex()


def _states(client: str, request: Json) -> Iterator[tuple[bool, bytes]]:
    """After each message: whether the model said it, and a digest of the conversation so far."""
    messages = request.get("messages")
    messages = [message for message in messages if isinstance(message, dict)] if isinstance(messages, list) else []
    # a system prompt may hold the time of day, so it counts only where nothing else was said before the first answer
    turns = [message for message in messages if message.get("role") not in SYSTEM]
    if not turns or turns[0].get("role") == "assistant":
        turns = messages
    state = client.encode("utf-8", "replace")
    for message in turns:
        state = _extend(state, _said(message))
        yield message.get("role") == "assistant", state


def _named(client: str, response_id: object) -> Iterator[bytes]:
    if isinstance(response_id, str) and response_id:
        yield _extend(client.encode("utf-8", "replace"), f"response {response_id}")


def _said(message: Json) -> str:
    """What a message says, free of the envelope in which an answer comes back in the next request; "" if nothing."""
    role, content = message.get("role"), message.get("content")
    parts = content if isinstance(content, list) else [content] if content else []
    said = [part.get("text", part) if isinstance(part, dict) else part for part in parts]
    try:
        if role == "assistant" and isinstance(message.get("tool_calls"), list) and (answer := answer_of(message)) and answer.tool_calls:
            said = [[call.name, call.arguments] for call in answer.tool_calls]
        said = [text.strip() if isinstance(text, str) else text for text in said]
        return json.dumps([role, said], sort_keys=True, default=str) if said else ""
    except RecursionError:
        return f"{role} too deep"


def _extend(state: bytes, said: str) -> bytes:
    return hashlib.sha256(state + said.encode()).digest()[:16]
