"""A model server that does nothing but wait: every answer, and every stream's first event, comes after a fixed delay.

python -m slm_pipeline.bench._mock_upstream PORT DELAY_SECONDS
"""

import asyncio
import sys

import orjson
import uvicorn

EVENTS = 8
_ANSWER = {
    "id": "chatcmpl-mock",
    "object": "chat.completion",
    "created": 1,
    "model": "mock",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a short answer " * 12}}],
    "usage": {"prompt_tokens": 300, "completion_tokens": 36, "total_tokens": 336},
}
_CHUNK = {"id": "chatcmpl-mock", "object": "chat.completion.chunk", "created": 1, "model": "mock"}
_BODY = orjson.dumps(_ANSWER)
_JSON = [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())]
_STREAM = [(b"content-type", b"text/event-stream")]


def _event(delta: dict, finish: str | None = None) -> bytes:
    return b"data: " + orjson.dumps(_CHUNK | {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}) + b"\n\n"


def app(delay: float):
    """The ASGI application."""

    async def answer(scope, receive, send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        await asyncio.sleep(delay)
        if orjson.loads(body or b"{}").get("stream") is not True:
            await send({"type": "http.response.start", "status": 200, "headers": _JSON})
            await send({"type": "http.response.body", "body": _BODY})
            return
        await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        for _ in range(EVENTS):
            await send({"type": "http.response.body", "body": _event({"content": "a short answer "}), "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": _event({}, "stop") + b"data: [DONE]\n\n"})

    return answer


if __name__ == "__main__":
    port, delay = int(sys.argv[1]), float(sys.argv[2])
    uvicorn.run(
        app(delay), host="127.0.0.1", port=port, loop="uvloop", http="httptools", lifespan="off", log_level="error", access_log=False
    )
