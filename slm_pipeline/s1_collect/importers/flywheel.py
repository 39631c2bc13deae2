"""The NVIDIA Data Flywheel JSONL: `{timestamp, workload_id, client_id, request, response}`.

The client is taken for the agent, `workload_id` stays as an extra key (a hint, read by nothing), the id is a digest of the
line's content. The form knows no sessions: a call whose messages repeat an earlier call's messages and its answer joins
that call's session; any other call begins one of its own. Only calls of one file are joined.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable

from slm_pipeline.lake import digest
from slm_pipeline.records import AgentCall, Json, answer_of, response_answer

REMEMBERED = 100_000  # conversations that a later call may continue; the longest unused is forgotten first


def recognises(record: Json) -> bool:
    return "workload_id" in record and "session_id" not in record


def converter() -> Callable[[Json], AgentCall]:
    """A function from record to call that remembers conversations; raises pydantic's ValidationError."""
    sessions: OrderedDict[bytes, str] = OrderedDict()

    def convert(record: Json) -> AgentCall:
        client = record.get("client_id")
        call_id = f"flywheel-{digest(record)}"
        made = {"id": call_id, "session_id": call_id} | ({"agent": client} if "client_id" in record else {"agent": "unknown"})
        call = AgentCall.model_validate(record | made)
        call.session_id = _session(call, sessions)
        return call

    return convert


def _session(call: AgentCall, sessions: OrderedDict[bytes, str]) -> str:
    """The session whose conversation this call continues, or its own id; remembers where the conversation stands now."""
    messages = call.request.get("messages")
    state, found = call.client_id.encode(), call.session_id
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "assistant":
            state = _extend(state, answer_of(message))
            if state in sessions:
                sessions.move_to_end(state)
                found = sessions[state]
        else:
            state = _extend(state, message)
    if (answer := response_answer(call.response)) is not None:
        sessions[_extend(state, answer)] = found
        if len(sessions) > REMEMBERED:
            sessions.popitem(last=False)
    return found


def _extend(state: bytes, said: object) -> bytes:
    # an answer comes back in the next request with other envelope fields, so answers are compared without them
    return hashlib.sha256(state + json.dumps(said, sort_keys=True, default=str).encode()).digest()[:16]
