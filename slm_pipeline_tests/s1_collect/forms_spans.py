"""The calls of `forms` as spans in OTLP JSON, by each convention that is read."""

import json

from slm_pipeline.records import Json
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.forms import AGENT, ASKED, CLIENT, PARAMETERS, SAID, SYSTEM, TIME, TOKENS, TOOL, completion


def any_value(value: object) -> Json:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
        case list():
            return {"arrayValue": {"values": [any_value(item) for item in value]}}
        case dict():
            return {"kvlistValue": {"values": attributes(value)}}
    return {"stringValue": value}


def attributes(plain: Json) -> list[Json]:
    return [{"key": key, "value": any_value(value)} for key, value in plain.items()]


def otlp(*spans: Json, service: str = AGENT) -> Json:
    scope = {"name": "an.instrumentation", "version": "1"}
    return {
        "resourceSpans": [
            {"resource": {"attributes": attributes({"service.name": service})}, "scopeSpans": [{"scope": scope, "spans": [*spans]}]}
        ]
    }


def span(number: int, plain: Json, name: str = "chat gpt-4o", events: tuple = (), **more: object) -> Json:
    start = (TIME + number) * 10**9
    return {
        "traceId": f"5b8efff798038103d269b633813fc6{number:02x}",
        "spanId": f"eee19b7ec3c1b1{number:02x}",
        "parentSpanId": "",
        "name": name,
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 800_000_000),
        "attributes": attributes(plain),
        "events": [{"timeUnixNano": str(start), "name": event, "attributes": attributes(said)} for event, said in events],
        "status": {},
    } | more


def genai_plain(number: int) -> Json:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.temperature": 0.2,
        "gen_ai.response.id": f"chatcmpl-{number}",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ["tool_calls" if SAID[number].get("tool_calls") else "stop"],
        "gen_ai.usage.input_tokens": TOKENS[number][0],
        "gen_ai.usage.output_tokens": TOKENS[number][1],
        "user.id": CLIENT,
    }


def parts_of(message: Json) -> Json:
    """A chat message in OpenTelemetry's parts."""
    if message["role"] == "tool":
        return {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_1", "response": message["content"]}]}
    parts = [{"type": "text", "content": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls", []):
        function = call["function"]
        parts.append({"type": "tool_call", "id": call["id"], "name": function["name"], "arguments": json.loads(function["arguments"])})
    return {"role": message["role"], "parts": parts}


def genai(number: int) -> Json:
    """The newer conventions: messages as JSON attributes. Around the call, spans that are none."""
    told = {
        "gen_ai.system_instructions": json.dumps([{"type": "text", "content": SYSTEM}]),
        "gen_ai.input.messages": json.dumps([parts_of(message) for message in ASKED[number][1:]]),
        "gen_ai.output.messages": json.dumps([parts_of(SAID[number]) | {"finish_reason": "stop"}])
        if number
        else json.dumps([parts_of(SAID[number]) | {"finish_reason": "tool_call"}]),
        "gen_ai.tool.definitions": json.dumps([{"type": "function"} | TOOL["function"]]),
    }
    tool = span(number + 10, {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "find_order"}, "execute_tool find_order")
    embedding = span(number + 20, {"gen_ai.operation.name": "embeddings", "gen_ai.request.model": "e"}, "embeddings e")
    return otlp(span(number + 30, {"http.request.method": "GET"}, "GET"), span(number, genai_plain(number) | told), tool, embedding)


def genai_structured(number: int) -> Json:
    """Messages as attributes of an event, in OTLP's own nesting and not in JSON text."""
    told = {
        "gen_ai.system_instructions": [{"type": "text", "content": SYSTEM}],
        "gen_ai.input.messages": [parts_of(message) for message in ASKED[number][1:]],
        "gen_ai.output.messages": [parts_of(SAID[number]) | {"finish_reason": "tool_call" if number == 0 else "stop"}],
        "gen_ai.tool.definitions": [{"type": "function"} | TOOL["function"]],
    }
    return otlp(span(number, genai_plain(number), events=(("gen_ai.client.inference.operation.details", told),)))


def genai_events(number: int) -> Json:
    """The older conventions: one event per message."""
    events = [(f"gen_ai.{message['role']}.message", {"gen_ai.event.content": json.dumps(message)}) for message in ASKED[number]]
    choice = {"index": 0, "finish_reason": completion(number)["choices"][0]["finish_reason"], "message": SAID[number]}
    told = {"gen_ai.tool.definitions": json.dumps([TOOL])}
    events.append(("gen_ai.choice", {"gen_ai.event.content": json.dumps(choice)}))
    return otlp(span(number, genai_plain(number) | told, events=tuple(events)))


def openllmetry(number: int) -> Json:
    """Flattened attributes."""
    told = {"llm.request.type": "chat", "gen_ai.system": "OpenAI", "gen_ai.request.model": "gpt-4o", "gen_ai.request.temperature": 0.2}
    for side, messages in (("prompt", ASKED[number]), ("completion", [SAID[number]])):
        for i, message in enumerate(messages):
            where = f"gen_ai.{side}.{i}"
            told[f"{where}.role"] = message["role"]
            if message["content"]:
                told[f"{where}.content"] = message["content"]
            if message["role"] == "tool":
                told[f"{where}.tool_call_id"] = "call_1"
            for call in message.get("tool_calls", []):
                told |= {f"{where}.tool_calls.0.id": call["id"], f"{where}.tool_calls.0.name": "find_order"}
                told[f"{where}.tool_calls.0.arguments"] = call["function"]["arguments"]
    told["gen_ai.completion.0.finish_reason"] = completion(number)["choices"][0]["finish_reason"]
    told |= {f"llm.request.functions.0.{key}": value for key, value in TOOL["function"].items() if key != "parameters"}
    told["llm.request.functions.0.parameters"] = json.dumps(PARAMETERS)
    told |= {"gen_ai.usage.prompt_tokens": TOKENS[number][0], "gen_ai.usage.completion_tokens": TOKENS[number][1]}
    told |= {"llm.usage.total_tokens": sum(TOKENS[number]), "traceloop.association.properties.user_id": CLIENT}
    return otlp(span(number, told, "openai.chat"))


def openinference(number: int) -> Json:
    told: Json = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o-2024-08-06",
        "llm.invocation_parameters": json.dumps({"model": "gpt-4o", "temperature": 0.2}),
        "input.value": json.dumps({"messages": ASKED[number]}),
        "input.mime_type": "application/json",
        "output.value": json.dumps(completion(number)),
        "output.mime_type": "application/json",
        "llm.tools.0.tool.json_schema": json.dumps(TOOL),
        "llm.token_count.prompt": TOKENS[number][0],
        "llm.token_count.completion": TOKENS[number][1],
        "llm.token_count.total": sum(TOKENS[number]),
        "llm.cost.total": 0.0003,
        "user.id": CLIENT,
    }
    for side, messages in (("input", ASKED[number]), ("output", [SAID[number]])):
        for i, message in enumerate(messages):
            where = f"llm.{side}_messages.{i}.message"
            told[f"{where}.role"] = message["role"]
            if message["content"]:
                told[f"{where}.content"] = message["content"]
            if message["role"] == "tool":
                told[f"{where}.tool_call_id"] = "call_1"
            for call in message.get("tool_calls", []):
                told[f"{where}.tool_calls.0.tool_call.id"] = call["id"]
                told |= {f"{where}.tool_calls.0.tool_call.function.{key}": value for key, value in call["function"].items()}
    return otlp(
        span(number, told, "ChatCompletion"), span(number + 10, {"openinference.span.kind": "EMBEDDING", "input.value": "x"}, "embed")
    )


SPANS = {form.__name__: form for form in (genai, genai_structured, genai_events, openllmetry, openinference)}
FORMS = forms.FORMS | SPANS
"""All forms by name: what makes the record of a call from its number, 0 to 2."""
