"""The same three calls in every form that can be imported. An agent of a book shop asks for a tool, uses its result, meets somebody else.

Each form makes the record of the call 0, 1 or 2; the second continues the first. Names are invented.
"""

import json

from slm_pipeline.records import Json

TIME = 1_790_900_000
SYSTEM = "You help customers of Brightwater Books."
PARAMETERS = {"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]}
TOOL = {"type": "function", "function": {"name": "find_order", "description": "Where an order is", "parameters": PARAMETERS}}
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_order", "arguments": '{"order_id": "8123"}'}}
OPENING = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "Where is order 8123?"}]
ASKED = [
    OPENING,
    [
        *OPENING,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": "shipped on Tuesday"},
    ],
    [OPENING[0], {"role": "user", "content": "Do you sell maps?"}],
]
SAID = [
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "assistant", "content": "It was shipped on Tuesday."},
    {"role": "assistant", "content": "Yes, in every size."},
]
TOKENS = [(60, 12), (80, 9), (55, 7)]
AGENT, CLIENT = "orders", "mara"


def usage(number: int) -> Json:
    prompt, completion = TOKENS[number]
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def completion(number: int) -> Json:
    reason = "tool_calls" if SAID[number].get("tool_calls") else "stop"
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": TIME + number,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": reason, "message": SAID[number]}],
        "usage": usage(number),
    }


def canonical(number: int) -> Json:
    body = {"model": "gpt-4o", "messages": ASKED[number], "tools": [TOOL], "temperature": 0.2}
    known = {"id": f"c{number}", "timestamp": TIME + number, "agent": AGENT, "client_id": CLIENT}
    return known | {"request": body, "response": completion(number)}


def flywheel(number: int) -> Json:
    made = {key: value for key, value in canonical(number).items() if key not in ("id", "agent")}
    return made | {"workload_id": "w1", "client_id": AGENT}


def litellm(number: int) -> Json:
    """The names of its fields as LiteLLM writes them, also those that nobody needs."""
    return {
        "id": f"chatcmpl-{number}",
        "trace_id": f"0e7f-{number}",
        "call_type": "acompletion",
        "cache_hit": None,
        "stream": True,
        "status": "success",
        "custom_llm_provider": "openai",
        "saved_cache_cost": 0.0,
        "startTime": float(TIME + number),
        "endTime": TIME + number + 1.5,
        "completionStartTime": TIME + number + 0.4,
        "response_time": 0.4,
        "model": "gpt-4o",
        "metadata": {
            "user_api_key_hash": "9f3c",
            "user_api_key_alias": AGENT,
            "user_api_key_team_id": "shop",
            "user_api_key_user_id": "svc",
            "requester_metadata": {"branch": "north"},
            "spend_logs_metadata": None,
        },
        "cache_key": None,
        "response_cost": 0.00021,
        "total_tokens": sum(TOKENS[number]),
        "prompt_tokens": TOKENS[number][0],
        "completion_tokens": TOKENS[number][1],
        "request_tags": ["User-Agent: shop/1.0", "checkout"],
        "end_user": CLIENT,
        "api_base": "https://api.example.com",
        "model_group": "gpt-4o",
        "messages": ASKED[number],
        "response": {key: value for key, value in completion(number).items() if key != "usage"},
        "model_parameters": {"temperature": 0.2, "tools": [TOOL]},
        "hidden_params": {"model_id": None, "litellm_model_name": "gpt-4o"},
        "model_map_information": {"model_map_key": "gpt-4o", "model_map_value": None},
        "error_str": None,
        "error_information": {"error_code": "", "error_class": "", "error_message": ""},
    }


def langfuse(number: int) -> Json:
    """A row of the observations table, as its export and the API write it."""
    return {
        "id": f"obs-{number}",
        "traceId": f"trace-{number}",
        "type": "GENERATION",
        "name": "OpenAI-generation",
        "startTime": f"2026-10-02T00:00:0{number}.000Z",
        "endTime": f"2026-10-02T00:00:0{number}.750Z",
        "completionStartTime": None,
        "model": "gpt-4o",
        "modelParameters": {"temperature": "0.2", "max_tokens": "Infinity"},
        "input": {"messages": ASKED[number], "tools": [TOOL]},
        "output": SAID[number],
        "usage": {"input": TOKENS[number][0], "output": TOKENS[number][1], "total": sum(TOKENS[number]), "unit": "TOKENS"},
        "usageDetails": {"input": TOKENS[number][0], "output": TOKENS[number][1], "total": sum(TOKENS[number])},
        "costDetails": {"input": 0.0001, "output": 0.0002, "total": 0.0003},
        "level": "DEFAULT",
        "statusMessage": None,
        "parentObservationId": None,
        "metadata": {},
        "latency": 0.75,
        "traceName": AGENT,
        "traceTags": ["checkout"],
        "userId": CLIENT,
        "scores": {"user-feedback": [1]},
        "comments": [],
    }


def langfuse_trace(number: int) -> Json:
    """A trace with its observations and scores inside, as `GET /api/public/traces/{id}` gives it."""
    gone = ("traceName", "traceTags", "userId", "scores", "comments")
    generation = {key: value for key, value in langfuse(number).items() if key not in gone}
    score = {"id": "s1", "traceId": f"trace-{number}", "name": "user-feedback", "dataType": "NUMERIC", "source": "API", "value": 1}
    return {
        "id": f"trace-{number}",
        "timestamp": f"2026-10-02T00:00:0{number}.000Z",
        "name": AGENT,
        "userId": CLIENT,
        "sessionId": None,
        "tags": ["checkout"],
        "metadata": None,
        "observations": [
            {"id": f"root-{number}", "type": "SPAN", "name": "turn", "startTime": f"2026-10-02T00:00:0{number}.000Z", "input": "x"},
            generation,
            {"id": f"emb-{number}", "type": "EMBEDDING", "startTime": f"2026-10-02T00:00:0{number}.000Z", "input": "x"},
        ],
        "scores": [score],
    }


def mlflow(number: int) -> Json:
    """A trace with the span that `mlflow.openai.autolog` writes, as the tracking server gives it."""
    start = (TIME + number) * 10**9
    body = canonical(number)["request"]

    def plain(kind: str, **said: object) -> Json:
        return {"mlflow.spanType": json.dumps(kind)} | {f"mlflow.{key}": json.dumps(value) for key, value in said.items()}

    return {
        "info": {
            "trace_id": f"tr-{number}",
            "request_time": "2026-10-02T00:00:00.000Z",
            "state": "OK",
            "trace_metadata": {"mlflow.trace.user": CLIENT},
            "tags": {"mlflow.traceName": AGENT},
            "assessments": [{"assessment_name": "user-feedback", "feedback": {"value": True}}],
        },
        "data": {
            "spans": [
                {"span_id": "root", "parent_span_id": None, "name": AGENT, "start_time_unix_nano": start, "attributes": plain("AGENT")},
                {
                    "span_id": "llm",
                    "parent_span_id": "root",
                    "name": "Completions",
                    "start_time_unix_nano": start,
                    "end_time_unix_nano": start + 500_000_000,
                    "status": {"code": "STATUS_CODE_OK"},
                    "attributes": plain("CHAT_MODEL", spanInputs=body, spanOutputs=completion(number)),
                },
                {
                    "span_id": "t",
                    "parent_span_id": "root",
                    "name": "find_order",
                    "start_time_unix_nano": start,
                    "attributes": plain("TOOL"),
                },
            ]
        },
    }


def stored(number: int) -> Json:
    """A stored chat completion with its listed messages."""
    listed = [message | {"id": f"m{i}", "content_parts": None} for i, message in enumerate(ASKED[number])]
    return completion(number) | {
        "request_id": f"req_{number}",
        "tools": [TOOL],
        "temperature": 0.2,
        "metadata": {"agent": AGENT, "user_id": CLIENT},
        "messages": {"object": "list", "data": listed, "has_more": False},
    }


def batch_input(number: int) -> Json:
    body = canonical(number)["request"] | {"metadata": {"agent": AGENT}, "user": CLIENT}
    return {"custom_id": f"request-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


def batch_output(number: int) -> Json:
    response = {"status_code": 200, "request_id": "r", "body": completion(number)}
    return {"id": f"batch_req_{number}", "custom_id": f"request-{number}", "response": response, "error": None}


def blocks_of(message: Json) -> Json:
    """A chat message in Anthropic's blocks."""
    if message["role"] == "tool":
        return {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": message["content"]}]}],
        }
    if message["role"] == "user":
        return {"role": "user", "content": [{"type": "text", "text": message["content"], "cache_control": {"type": "ephemeral"}}]}
    blocks = [{"type": "text", "text": message["content"]}] if message["content"] else []
    calls = [call["function"] for call in message.get("tool_calls", [])]
    blocks += [{"type": "tool_use", "id": "call_1", "name": call["name"], "input": json.loads(call["arguments"])} for call in calls]
    return {"role": "assistant", "content": blocks}


def anthropic_body(number: int) -> Json:
    return {
        "model": "claude-sonnet-4-5",
        "max_tokens": 1024,
        "system": [{"type": "text", "text": SYSTEM, "cache_control": {"type": "ephemeral"}}],
        "messages": [blocks_of(message) for message in ASKED[number][1:]],
        "tools": [{"name": "find_order", "description": "Where an order is", "input_schema": PARAMETERS}],
        "temperature": 0.2,
        "metadata": {"user_id": CLIENT},
    }


def anthropic_message(number: int) -> Json:
    prompt, completed = TOKENS[number]
    usage = {"input_tokens": prompt - 20, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 0, "output_tokens": completed}
    stop = "tool_use" if SAID[number].get("tool_calls") else "end_turn"
    made = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    return made | {"content": blocks_of(SAID[number])["content"], "stop_reason": stop, "stop_sequence": None, "usage": usage}


def anthropic(number: int) -> Json:
    return {
        "timestamp": TIME + number,
        "agent": AGENT,
        "request": anthropic_body(number),
        "response": anthropic_message(number),
        "latency_ms": 640,
    }


def items_of(message: Json) -> list[Json]:
    """A chat message in items of the Responses API."""
    if message["role"] == "tool":
        return [{"type": "function_call_output", "call_id": "call_1", "output": message["content"]}]
    calls = [{"type": "function_call", "id": "fc_1", "call_id": call["id"]} | call["function"] for call in message.get("tool_calls", [])]
    kind = "output_text" if message["role"] == "assistant" else "input_text"
    said = [{"type": "message", "role": message["role"], "content": [{"type": kind, "text": message["content"]}]}]
    return [*(said if message["content"] else []), *calls]


def responses(number: int) -> Json:
    """A line with the bodies of a Responses API call."""
    body = {
        "model": "gpt-4o",
        "instructions": SYSTEM,
        "input": [item for message in ASKED[number][1:] for item in items_of(message)],
        "tools": [{"type": "function"} | TOOL["function"]],
        "temperature": 0.2,
        "user": CLIENT,
    }
    prompt, completed = TOKENS[number]
    response = {
        "id": f"resp_{number}",
        "object": "response",
        "created_at": TIME + number,
        "status": "completed",
        "model": "gpt-4o-2024-08-06",
        "output": [{"type": "reasoning", "id": "rs_1", "summary": []}, *items_of(SAID[number])],
        "usage": {"input_tokens": prompt, "output_tokens": completed, "total_tokens": prompt + completed},
    }
    return {"request": body, "response": response, "metadata": {"agent": AGENT}}


FORMS = {form.__name__: form for form in (canonical, flywheel, litellm, langfuse, langfuse_trace, mlflow, stored, anthropic, responses)}
"""By name: what makes the record of a call from its number, 0 to 2. `forms_spans` adds those of spans."""
