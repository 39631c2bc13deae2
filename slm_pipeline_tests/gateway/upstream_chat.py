"""OpenAI chat completions, embeddings and errors, in the recorded upstream's words."""

import base64
import struct
import time
from uuid import uuid4

from slm_pipeline_tests.gateway.upstream_answers import Asked, Json, Said, answer, digest, dumps, last, pieces, texts, tokens, trailing

DONE = "data: [DONE]\n\n"
COMMON = ("model", "messages", "stream", "stream_options", "user")
ERRORS = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}


def user(body: Json):
    return body.get("user")


def asked(body: Json) -> Asked:
    messages = body["messages"]
    form = body.get("response_format") or {}
    choice = body.get("tool_choice")
    tools = {} if choice == "none" else {t["function"]["name"]: t["function"].get("parameters", {}) for t in body.get("tools") or ()}
    return Asked(
        body["model"],
        texts(last(messages, lambda m: m["role"] == "user").get("content")),
        [texts(m["content"]) for m in trailing(messages, lambda m: m["role"] == "tool")],
        tools,
        choice["function"]["name"] if isinstance(choice, dict) else None,
        body.get("parallel_tool_calls") is not False,
        {"type": "object"} if form.get("type") == "json_object" else form.get("json_schema", {}).get("schema"),
    )


def respond(body: Json) -> Json:
    """The whole chat completion."""
    model = body["model"]
    question = asked(body)
    said = [answer(question, i) for i in range(body.get("n") or 1)]
    prompt, completion = tokens([body["messages"], body.get("tools")]), sum(s.tokens for s in said)
    response = {
        "id": f"chatcmpl-{uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{model}-2024-07-18" if model.startswith("gpt-") else model,
        "choices": [choice_of(i, s, body) for i, s in enumerate(said)],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": sum(len(pieces(s.reasoning)) for s in said),
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
        "service_tier": "default",
        "system_fingerprint": "fp_51db84afab",
    }
    if model == "empty":
        response["choices"] = []
    if model == "unknown-fields":
        response["x_top"] = {"weights": [0.25, None, "ß"]}
        response["echo"] = {key: value for key, value in body.items() if key not in COMMON}
    return response


def choice_of(index: int, said: Said, body: Json) -> Json:
    message: Json = {"role": "assistant", "content": said.text or None, "refusal": None, "annotations": []}
    if said.reasoning:
        message["reasoning_content"] = said.reasoning
    if said.calls:
        message["tool_calls"] = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}} for i, name, arguments in said.calls
        ]
    if body["model"] == "unknown-fields":
        message["x_message"] = ["kept", {"as": "it is"}]
    logprobs = {"content": [logprob(p, body) for p in pieces(said.text)], "refusal": None} if body.get("logprobs") else None
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": "tool_calls" if said.calls else "stop"}


def logprob(token: str, body: Json) -> Json:
    score = {"token": token, "logprob": -int(digest(token)[:2], 16) / 256, "bytes": list(token.encode())}
    return score | {"top_logprobs": [score] * (body.get("top_logprobs") or 0)}


def stream(body: Json) -> list[str]:
    """The server-sent events that say what `respond` says, as OpenAI cuts them."""
    response = respond(body)
    options = body.get("stream_options") or {}
    usage = response.pop("usage")
    choices = response.pop("choices")
    head = response | {"object": "chat.completion.chunk"} | ({"usage": None} if options.get("include_usage") else {})
    deltas = [deltas_of(choice, body) for choice in choices]
    chunks = []
    for step in range(max(map(len, deltas), default=0)):  # the choices take turns
        chunks += [head | {"choices": [parts[step]]} for parts in deltas if step < len(parts)]
    chunks += [] if choices else [head | {"choices": []}]
    if options.get("include_usage"):
        chunks.append(head | {"choices": [], "usage": usage})
    return [f"data: {dumps(chunk)}\n\n" for chunk in chunks] + [DONE]


def deltas_of(choice: Json, body: Json) -> list[Json]:
    message, scores = choice["message"], choice["logprobs"]
    calls = message.get("tool_calls", ())
    start = {"role": "assistant", "content": None if calls or "reasoning_content" in message else "", "refusal": None}
    start |= {"x_message": message["x_message"]} if "x_message" in message else {}
    deltas: list[tuple[Json, list | None]] = [(start, [])]
    deltas += [({"content": None, "reasoning_content": piece}, []) for piece in pieces(message.get("reasoning_content", ""))]
    deltas += [({"content": piece}, scores and [scores["content"][i]]) for i, piece in enumerate(pieces(message["content"] or ""))]
    for i, call in enumerate(calls):
        deltas.append(({"tool_calls": [{"index": i, **call, "function": {**call["function"], "arguments": ""}}]}, None))
        deltas += [({"tool_calls": [{"index": i, "function": {"arguments": p}}]}, None) for p in pieces(call["function"]["arguments"])]
    found = []
    for delta, content in deltas:
        logprobs = {"content": content or [], "refusal": None} if scores else None
        found.append({"index": choice["index"], "delta": delta, "logprobs": logprobs, "finish_reason": None})
    return [*found, {"index": choice["index"], "delta": {}, "logprobs": None, "finish_reason": choice["finish_reason"]}]


def error(status: int, message: str) -> Json:
    kind, code = ERRORS[status]
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def error_event(message: str) -> str:
    return f"data: {dumps(error(500, message))}\n\n"


def embed(body: Json) -> Json:
    inputs = body["input"]
    inputs = [inputs] if isinstance(inputs, str) or (inputs and isinstance(inputs[0], int)) else inputs
    data = []
    for i, text in enumerate(inputs):
        vector = [int(digest(text, j)[:4], 16) / 65536 for j in range(body.get("dimensions") or 8)]
        coded = base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode() if body.get("encoding_format") == "base64" else vector
        data.append({"object": "embedding", "index": i, "embedding": coded})
    used = tokens(inputs)
    return {"object": "list", "data": data, "model": body["model"], "usage": {"prompt_tokens": used, "total_tokens": used}}


def models() -> Json:
    names = ["gpt-4o", "gpt-4o-mini", "reasoner-1", "text-embedding-3-small"]
    return {"object": "list", "data": [{"id": n, "object": "model", "created": 1721172741, "owned_by": "system"} for n in names]}
