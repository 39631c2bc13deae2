"""Langfuse exports: observations (from the table in its UI, the API, or blob storage), or traces with their observations inside.

Of the observations, generations are calls. The agent is the trace's name, else its first tag, else the observation's name; the
client is its user. The session is the trace's; else the trace begins one, and calls that continue a conversation join it. Scores
become the outcome: those of the observation, and those of its whole trace.
"""

from collections.abc import Iterator

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers.chat import chat_call
from slm_pipeline.s1_collect.importers.fields import (
    AGENT,
    Found,
    found,
    milliseconds,
    number,
    pick,
    rows,
    seconds,
    table,
    text,
)
from slm_pipeline.s1_collect.importers.langfuse_bodies import answer_of, body_of, usage_of
from slm_pipeline.s1_collect.importers.outcomes import outcome_of

KINDS = (
    *("GENERATION", "SPAN", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"),
    "SCORE",  # no observation, but a row of the table that stands beside them
)


def recognises(record: Json) -> bool:
    if isinstance(record.get("observations"), list):
        return "id" in record or "trace" in record
    if pick(record, "data_type") and pick(record, "trace_id") and "value" in record:
        return True
    return pick(record, "start_time") is not None and isinstance(record.get("type"), str) and record["type"].upper() in KINDS


def calls(record: Json) -> Iterator[Found | str]:
    if isinstance(record.get("observations"), list):
        trace = record["trace"] if isinstance(record.get("trace"), dict) else record
        if record["observations"] and not rows(record["observations"]):
            yield "a trace without its observations: export it with them (GET /api/public/traces/{id}), or export the observations"
        for observation in rows(record["observations"]):
            yield from _calls(observation, trace)
    elif "value" in record and "type" not in record:
        yield "a score on its own: scores are read from traces that hold them, or from rows of the observations table"
    else:
        yield from _calls(record, {})


def _calls(observation: Json, trace: Json) -> Iterator[Found | str]:
    if str(observation.get("type")).upper() != "GENERATION":
        return
    made = chat_call(body_of(observation), answer_of(observation))
    if isinstance(made, str):
        failed = f": {pick(observation, 'status_message')}" if observation.get("level") == "ERROR" and "no answer" in made else ""
        yield made + failed
        return
    request, response = made
    usage = usage_of(observation)
    response = ({"model": request["model"]} if request.get("model") and "model" not in response else {}) | response
    start, end = seconds(pick(observation, "start_time")), seconds(pick(observation, "end_time"))
    key, run = text(observation.get("id")), text(pick(observation, "trace_id"), trace.get("id"))
    about = table(trace.get("metadata")) | table(observation.get("metadata"))
    tags = pick(trace, "tags") or pick(observation, "trace_tags", "tags")
    yield found(
        "langfuse",
        key or digest(observation, run),
        timestamp=start,
        agent=text(
            pick(about, *AGENT),
            pick(trace, "name"),
            pick(observation, "trace_name"),
            *(tags if isinstance(tags, list) else ()),
            observation.get("name"),
        ),
        client_id=text(pick(trace, "user_id"), pick(observation, "user_id")),
        session_id=text(pick(trace, "session_id"), pick(observation, "session_id")),
        run=run,
        request=request,
        response=response | ({"usage": usage} if usage and not response.get("usage") else {}),
        latency_ms=milliseconds(start, end),
        cost=_cost(observation),
        outcome=outcome_of(_scores(observation, trace)),
        source={"trace": run, "name": text(observation.get("name"))},
    )


def _cost(observation: Json) -> float | None:
    details = table(pick(observation, "cost_details"))
    return number(details.get("total") if "total" in details else pick(observation, "total_cost", "calculated_total_cost"))


def _scores(observation: Json, trace: Json) -> Iterator[tuple[object, object]]:
    for score in [*rows(trace.get("scores")), *rows(observation.get("scores"))]:
        about = pick(score, "observation_id")
        if about is None or about == observation.get("id"):
            kind, value = pick(score, "data_type"), score.get("value")
            word = pick(score, "long_string_value", "string_value")
            if kind == "BOOLEAN" and number(value) is not None:
                value = number(value) > 0
            elif kind in ("CATEGORICAL", "TEXT", "CORRECTION"):
                value = word if word is not None else value
            yield "correction" if kind == "CORRECTION" else score.get("name"), value
    # the observations table has a column per score: a list of values
    columns = observation["scores"] if isinstance(observation.get("scores"), dict) else observation
    for name, values in columns.items():
        values = values if isinstance(values, list) else [values] if columns is not observation else []
        if values and name not in ("tags", "trace_tags", "traceTags") and all(isinstance(v, int | float | bool | str) for v in values):
            yield name, values[0] if len(values) == 1 else values
