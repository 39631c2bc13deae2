"""The LLM of recorded traffic as a server: the same request gets the recorded answer, any other one a 404.

python -m slm_pipeline.bench._recorded_llm PORT FILE
"""

import json
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from slm_pipeline.lake import digest
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.importers import BadLine, read_calls


def key(request: Json) -> str:
    """What an answer is looked up by."""
    return digest(request["messages"], request.get("tools"))


def app(answers: dict[str, Json]) -> Starlette:
    """The ASGI application; `answers` by key."""

    async def chat(request: Request) -> JSONResponse:
        response = answers.get(key(json.loads(await request.body())))
        if response is None:
            return JSONResponse({"error": {"message": "This request was not recorded.", "type": "not_found", "code": "not_found"}}, 404)
        return JSONResponse({"id": "recorded", "object": "chat.completion", "created": 1} | response)

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


if __name__ == "__main__":
    port, files = int(sys.argv[1]), map(Path, sys.argv[2:])
    recorded = {key(call.request): call.response for file in files for call in read_calls(file) if not isinstance(call, BadLine)}
    uvicorn.run(app(recorded), host="127.0.0.1", port=port, lifespan="off", log_level="error", access_log=False)
