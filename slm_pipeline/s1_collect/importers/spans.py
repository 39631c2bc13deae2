"""OTLP JSON: spans that follow OpenTelemetry's GenAI conventions or OpenInference's, as exporters and collectors write them.

The agent is `gen_ai.agent.name` or `agent.name`, else the resource's `service.name`; the client is `user.id`, `enduser.id` or what
OpenLLMetry's association properties name. The session is `session.id` or `gen_ai.conversation.id`; else the trace begins one, and
calls that continue a conversation join it. Spans that are no calls to a language model are passed over.
"""

from collections.abc import Iterator

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import openinference, otel_genai
from slm_pipeline.s1_collect.importers.fields import (
    AGENT,
    CLIENT,
    SESSION,
    Found,
    count,
    found,
    milliseconds,
    number,
    pick,
    rows,
    seconds,
    table,
    text,
)
from slm_pipeline.s1_collect.importers.span import Span

CONVENTIONS = (openinference, otel_genai)
ASSOCIATED = "traceloop.association.properties."
NO_MESSAGES = (
    "the span holds no messages: let the instrumentation capture content (OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true)"
)


def recognises(record: Json) -> bool:
    return any(isinstance(pick(record, name), list) for name in ("resource_spans", "scope_spans", "instrumentation_library_spans"))


def calls(record: Json) -> Iterator[Found | str]:
    for resource in rows(pick(record, "resource_spans")) or [record]:
        service = attributes_of(pick(resource.get("resource"), "attributes"))
        for scope in rows(pick(resource, "scope_spans", "instrumentation_library_spans")):
            for span in rows(scope.get("spans")):
                yield from _calls(span, service)


def attributes_of(listed: object) -> Json:
    """OTLP attributes, a list of {key, value}, as a plain object."""
    return {item["key"]: value_of(item.get("value")) for item in rows(listed) if isinstance(item.get("key"), str)}


def value_of(value: object) -> object:
    """An OTLP AnyValue as a plain value; 64-bit integers come as text."""
    if not isinstance(value, dict):
        return value
    if (whole := pick(value, "int_value")) is not None:
        return count(whole) if count(whole) is not None else number(whole)
    if (listed := pick(value, "array_value")) is not None:
        items = pick(listed, "values")
        return [value_of(item) for item in items] if isinstance(items, list) else []
    if (pairs := pick(value, "kvlist_value")) is not None:
        return attributes_of(pick(pairs, "values"))
    return pick(value, "string_value", "double_value", "bool_value", "bytes_value")


def _calls(raw: Json, service: Json) -> Iterator[Found | str]:
    events = [(str(event.get("name")), attributes_of(event.get("attributes"))) for event in rows(raw.get("events"))]
    span = Span(str(raw.get("name")), attributes_of(raw.get("attributes")), events)
    convention = next((convention for convention in CONVENTIONS if convention.is_call(span)), None)
    if convention is None:
        return
    where = f"span {span.name!r}"
    request, response, cost = convention.call_of(span)
    if not request["messages"]:
        yield f"{where}: {NO_MESSAGES}"
        return
    if not response["choices"]:
        status = table(raw.get("status"))
        why = text(status.get("message"), span.attributes.get("error.type"))
        yield f"{where}: the call has no answer{f': {why}' if why else ''}"
        return
    trace, key = text(pick(raw, "trace_id")), text(pick(raw, "span_id"))
    start, end = seconds(pick(raw, "start_time_unix_nano")), seconds(pick(raw, "end_time_unix_nano"))
    about = {name.removeprefix(ASSOCIATED): value for name, value in span.attributes.items() if name.startswith(ASSOCIATED)}
    about = table(span.attributes.get("metadata")) | about
    here = span.attributes.get
    yield found(
        "otel",
        f"{trace}-{key}" if trace and key else digest(raw),
        timestamp=start,
        agent=text(here("gen_ai.agent.name"), here("agent.name"), pick(about, *AGENT), service.get("service.name")),
        client_id=text(here("user.id"), here("enduser.id"), pick(about, *CLIENT), service.get("user.id")),
        session_id=text(here("session.id"), here("gen_ai.conversation.id"), pick(about, *SESSION)),
        run=trace,
        request=request,
        response=response,
        latency_ms=milliseconds(start, end),
        cost=cost,
        source={"trace": trace, "name": span.name},
    )
