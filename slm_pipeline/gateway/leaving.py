"""A client that closes the connection ends what is done for it."""

import asyncio
from http import HTTPStatus

from slm_pipeline.gateway.errors import CallError


async def unless_client_leaves(receive, work) -> None:
    """Run `work`, and cancel it as soon as the client closes the connection."""
    whole = asyncio.get_running_loop().create_future()

    async def read(max_bytes: int) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            parts.append(message.get("body", b""))
            size, more = size + len(parts[-1]), message.get("more_body", False)
            if size > max_bytes:
                raise CallError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A request may have {max_bytes >> 20} MiB at most.", "too_large")
        whole.set_result(None)
        return b"".join(parts)

    async def leaving() -> None:
        await whole
        while (await receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work(read)), asyncio.ensure_future(leaving())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pending in (task, watch):
            pending.cancel()
        await asyncio.gather(task, watch, return_exceptions=True)
    if not task.cancelled():
        task.result()
