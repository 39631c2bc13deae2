"""A client that closes the connection ends what is done for it."""

import asyncio
from collections.abc import AsyncIterator

from slm_pipeline.gateway.bodies import gathered


async def unless_client_leaves(receive, work) -> None:
    """Run `work`, and cancel it as soon as the client closes the connection."""
    whole = asyncio.get_running_loop().create_future()

    async def parts() -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            more = message.get("more_body", False)
            yield message.get("body", b"")

    async def read(max_bytes: int) -> bytes:
        body = await gathered(parts(), max_bytes)
        whole.set_result(None)
        return body

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
