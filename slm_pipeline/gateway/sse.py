"""Server-sent events (HTML Living Standard, section 9.2), as model APIs use them: one JSON object per event, passed on byte by byte."""

import re
from collections.abc import AsyncIterator

import orjson

from slm_pipeline.gateway.bodies import parse

MAX_EVENT = 64 << 20  # bytes; bounds memory when an upstream never ends an event
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


async def events(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Whole events, their blank line included; what comes after the last one, too. Raises ValueError for one that never ends."""
    waiting = b""
    async for chunk in chunks:
        waiting += chunk
        while end := _END.search(waiting):
            event, waiting = waiting[: end.end()], waiting[end.end() :]
            yield event
        if len(waiting) > MAX_EVENT:
            raise ValueError(f"an event is longer than {MAX_EVENT >> 20} MiB")
    if waiting.strip():
        yield waiting


def data_of(event: bytes) -> bytes:
    """The joined data lines of an event; empty for a comment."""
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)


def object_of(data: bytes) -> dict:
    """The JSON object of an event's data. Raises ValueError if it is none."""
    value = parse(data)
    if not isinstance(value, dict):
        raise ValueError("an event must hold a JSON object")
    return value


def event_of(value: dict, name: str | None = None) -> bytes:
    """An event that says `value`."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + orjson.dumps(value) + b"\n\n"
