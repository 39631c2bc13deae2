"""The gateway's memory does not grow with the calls it has answered."""

import asyncio

import aiohttp

from slm_pipeline.bench import gateway as bench
from slm_pipeline.settings import get_settings

WORKERS = 24


async def call(url, count):
    """`count` calls by a few workers, each of which waits for its answers."""
    async with aiohttp.ClientSession(headers={"content-type": "application/json"}) as session:

        async def work():
            for _ in range(count // WORKERS):
                async with session.post(url, data=bench.BODY) as response:
                    await response.read()
                    assert response.status == 200

        await asyncio.gather(*(work() for _ in range(WORKERS)))


def test_memory_stays_where_it_is_after_warm_up(tmp_path, soak):
    warm_up, calls = (20_000, 200_000) if soak else (4_000, 4_000)
    with bench.gateway_process(tmp_path, get_settings()) as (_, gateway, process):
        asyncio.run(call(f"{gateway}/chat/completions", warm_up))
        before = process.memory_info().rss
        asyncio.run(call(f"{gateway}/chat/completions", calls))
        after = process.memory_info().rss
    assert after <= 1.05 * before, f"{before >> 20} MiB before, {after >> 20} MiB after {calls:,} calls"
    print(f"{before >> 20} MiB after {warm_up:,} calls, {after >> 20} MiB after {calls:,} more")
