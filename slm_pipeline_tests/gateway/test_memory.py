"""The gateway's memory does not grow with the calls it has answered."""

import asyncio

from slm_pipeline.bench import gateway as bench

RATE = 400  # a second: more would measure how full the log's queue runs on this machine, which is bounded by itself


def test_memory_stays_where_it_is_after_warm_up(tmp_path, soak):
    warm_up, calls = (20_000, 200_000) if soak else (4_000, 4_000)
    with bench.gateway_process(tmp_path) as (_, gateway, process):

        def answer(count):
            for _ in range(count // RATE):  # a second's calls at a time, so that on a slow machine no more than these wait
                (timed,) = asyncio.run(bench.send(RATE, RATE, [f"{gateway}/chat/completions"], bench.BODY))
                assert not timed.errors
            return process.memory_info().rss

        before, after = answer(warm_up), answer(calls)
    assert after <= 1.05 * before, f"{before >> 20} MiB before, {after >> 20} MiB after {calls:,} calls"
    print(f"{before >> 20} MiB after {warm_up:,} calls, {after >> 20} MiB after {calls:,} more")
