"""JSON bodies: read fast where they are strict, and still read where they are not."""

import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

import orjson

from slm_pipeline.gateway.errors import CallError
from slm_pipeline.records import Json


def parse(data: bytes) -> Any:
    """The value of a JSON text. NaN, and halves of surrogate pairs, which JSON allows in escapes, are read too. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(data)
        # half a pair is nothing that can be stored
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError("not JSON that can be read: nested too deeply, or not UTF-8") from error


async def gathered(parts: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """A body that comes in parts. Raises CallError if it is longer than `max_bytes`."""
    kept, size = [], 0
    async for part in parts:
        kept.append(part)
        size += len(part)
        if size > max_bytes:
            raise CallError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request may have {max_bytes >> 20} MiB at most.", "too_large")
    return b"".join(kept)


def request_of(body: bytes) -> Json:
    """The request in the body of a model call. Raises CallError that says what is wrong with it."""
    try:
        request = parse(body)
    except ValueError as error:
        raise CallError(400, f"The body must be JSON: {error}", "invalid_json") from error
    if not isinstance(request, dict):
        raise CallError(400, f"The body must be a JSON object, not {type(request).__name__}.", "invalid_json")
    if not isinstance(request.get("model"), str) or not request["model"]:
        raise CallError(400, "The field 'model' must name a model.", "missing_model", "model")
    return request
