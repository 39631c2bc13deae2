"""LiteLLM's logs: one StandardLoggingPayload per call, as its callbacks, S3 and GCS logging write them.

The agent is the one that the requester's metadata names, else the alias of the API key or of its team, else the first request tag;
the client is the end user, else the key's user, team or hash. The session is the one that the requester's metadata names; else
`trace_id` begins one, and calls that continue a conversation join it.
"""

from collections.abc import Iterator

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.chat import chat_call
from slm_pipeline.s1_collect.importers.fields import (
    AGENT,
    CLIENT,
    SESSION,
    Found,
    found,
    milliseconds,
    number,
    pick,
    seconds,
    table,
    text,
    usage_of,
)

# embeddings, images, speech and the like are no calls to learn
CHAT = ("completion", "text_completion", "responses", "anthropic_messages", "generate_content", "pass_through_endpoint")
REDACTED = "redacted-by-litellm"


def recognises(record: Json) -> bool:
    return "call_type" in record and ("startTime" in record or "model_map_information" in record)


def calls(record: Json) -> Iterator[Found | str]:
    kind = record.get("call_type")
    if isinstance(kind, str) and kind and kind not in CHAT and kind.removeprefix("a") not in CHAT:
        return
    asked, answer = record.get("messages"), record.get("response")
    if record.get("status") == "failure":
        why = text(record.get("error_str"), pick(record.get("error_information"), "error_message")) or "it failed"
        yield f"the call has no answer: {why}"
        return
    if _redacted(asked):
        yield "the messages were redacted by LiteLLM: log with turn_off_message_logging: false"
        return
    parameters = {key: value for key, value in table(record.get("model_parameters")).items() if key not in ("messages", "input")}
    body = {"model": record.get("model")} | parameters
    body |= asked if isinstance(asked, dict) else {"messages": [{"role": "user", "content": asked}] if isinstance(asked, str) else asked}
    made = chat_call(body, answer)
    if isinstance(made, str):
        yield made
        return
    request, response = made
    if not response.get("usage") and (counted := usage_of(*(record.get(f"{kind}_tokens") for kind in ("prompt", "completion", "total")))):
        response = response | {"usage": counted}
    metadata = table(record.get("metadata"))
    about = table(metadata.get("spend_logs_metadata")) | table(metadata.get("requester_metadata"))
    start, end = seconds(record.get("startTime")), seconds(record.get("endTime"))
    tags = record["request_tags"] if isinstance(record.get("request_tags"), list) else []
    yield found(
        "litellm",
        text(record.get("id")) or digest(record),
        timestamp=start,
        agent=text(pick(about, *AGENT), metadata.get("user_api_key_alias"), metadata.get("user_api_key_team_alias"), _tag(tags)),
        client_id=text(
            record.get("end_user"),
            pick(metadata, "user_api_key_end_user_id"),
            pick(about, *CLIENT),
            pick(metadata, "user_api_key_user_id", "user_api_key_team_id", "user_api_key_hash"),
        ),
        session_id=text(pick(about, *SESSION)),
        run=text(record.get("trace_id")),
        request=request,
        response=response,
        latency_ms=milliseconds(start, end),
        cost=number(record.get("response_cost")),
        source={"trace": text(record.get("trace_id")), "tags": tags or None},
    )


def _tag(tags: list) -> str | None:
    """The first tag that the requester chose: LiteLLM adds some of its own."""
    return next((tag for tag in tags if isinstance(tag, str) and tag and not tag.lower().startswith("user-agent:")), None)


def _redacted(messages: object) -> bool:
    first = messages[0] if isinstance(messages, list) and messages else messages
    return REDACTED in (first, first.get("content") if isinstance(first, dict) else None)
