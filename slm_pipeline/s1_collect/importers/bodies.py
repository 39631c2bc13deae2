"""A call of which nothing but the bodies of request and response is known for sure: what they say about who called."""

import re

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.chat import chat_call
from slm_pipeline.s1_collect.importers.fields import AGENT, CLIENT, SESSION, Found, found, number, pick, seconds, table, text

TIMES = ("timestamp", "created_at", "created", "time", "date")
# Claude Code writes user, account and session into the one field that the Messages API has for the user
_CLAUDE_CODE = re.compile(r"(.{1,200}?)_{1,4}session_([0-9a-fA-F-]{8,64})")


def call_of_bodies(request: Json, response: object, about: Json) -> Found | str:
    """The call, or why there is none. `about` is what the log says beside the bodies; what it lacks is sought in their `metadata`."""
    made = chat_call(request, response)
    if isinstance(made, str):
        return made
    response = response if isinstance(response, dict) else {}
    metadata = table(request.get("metadata")) | table(response.get("metadata")) | table(about.get("metadata"))
    user = text(metadata.get("user_id"))
    split = _CLAUDE_CODE.fullmatch(user) if user else None
    if split:
        metadata |= {"user_id": split[1]} | {"session_id": text(metadata.get("session_id")) or split[2]}
    api = "anthropic" if response.get("type") == "message" else "openai"
    key = text(response.get("id"))
    latency = number(pick(about, "latency_ms", "duration_ms", "response_time_ms"))
    return found(
        api if key else "bodies",
        key or digest(*made),
        timestamp=seconds(pick(about, *TIMES) or pick(response, "created", "created_at")),
        agent=text(pick(about, *AGENT), pick(metadata, *AGENT)),
        client_id=text(pick(about, *CLIENT), pick(metadata, *CLIENT), pick(request, "safety_identifier", "user", "input_user")),
        session_id=text(pick(about, *SESSION), pick(metadata, *SESSION)) or _conversation(request),
        request=made[0],
        response=made[1],
        latency_ms=latency,
        cost=number(pick(about, "cost", "cost_usd")),
        outcome=about["outcome"] if isinstance(about.get("outcome"), dict) else None,
    )


def _conversation(request: Json) -> str | None:
    """The conversation that OpenAI keeps for this request."""
    conversation = request.get("conversation")
    return text(conversation.get("id") if isinstance(conversation, dict) else conversation)
