"""Logs of `{request, response}`: the bodies of a Messages API call to Anthropic, or of an OpenAI chat completion or response.

Agent, client (`user`, `metadata.user_id`) and session are fields of the line or of the request's `metadata`; a `user_id` of Claude
Code holds the session too. Else the agent and the client are "unknown" and sessions are rebuilt.
"""

from collections.abc import Iterator

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.bodies import call_of_bodies
from slm_pipeline.s1_collect.importers.fields import Found


def recognises(record: Json) -> bool:
    return isinstance(record.get("request"), dict) and "response" in record


def calls(record: Json) -> Iterator[Found | str]:
    request, response = record.get("request"), record.get("response")
    # some logs keep a body inside what surrounds it: {"body": {...}, "headers": {...}}
    request, response = (
        outer["body"] if isinstance(outer, dict) and isinstance(outer.get("body"), dict) else outer for outer in (request, response)
    )
    if not isinstance(request, dict):
        yield "the call has no request"
        return
    yield call_of_bodies(request, response, {key: value for key, value in record.items() if key not in ("request", "response")})
