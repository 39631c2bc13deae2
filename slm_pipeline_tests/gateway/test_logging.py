"""What the log is sure to hold, whatever happens to the gateway, and what it costs when the log is away."""

import asyncio
import sqlite3
import threading
import time
from contextlib import contextmanager

import httpx2
import pytest

from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline_tests.gateway.conftest import running_gateway
from slm_pipeline_tests.gateway.recorded_upstream import eventually, recorded_upstream

MARGIN = 0.3  # seconds beyond the flush interval that a loaded machine may hold up the log's thread


@pytest.fixture(scope="module")
def upstream():
    with recorded_upstream() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request):
    """What the gateway's environment says of its log."""
    return {"SLM_LOG_URL": request.getfixturevalue("postgresql")} if request.param == "postgresql" else {}


def body(words, **more):
    return {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words}], **more}


def receive(url, request, received):
    """Add the texts of a stream to `received`, up to its end or until it is cut."""
    with httpx2.stream("POST", url, json=request, timeout=60) as answer:
        for text in answer.iter_text():
            received.append(text)


def logged_words(settings):
    """The last words of every call in the log, however it ended; opening each shows that none is torn."""
    log = CallLog(settings, Role.PIPELINE)
    try:
        return [call.request["messages"][-1]["content"] for day in log.days() for call in log.read(day)]
    finally:
        log.database.close()


async def load(url, round_, acknowledged, stop):
    """Call without pause, streamed and not, and note what was answered to the end, and when."""
    async with httpx2.AsyncClient(timeout=30) as client:

        async def calls(worker):
            for number in range(1_000_000):
                if stop.is_set():
                    return
                words = f"round {round_} worker {worker} call {number}"
                try:
                    answer = await client.post(f"{url}/v1/chat/completions", json=body(words, stream=bool(number % 2)))
                except httpx2.HTTPError:
                    return
                if answer.status_code == 200 and (not number % 2 or "[DONE]" in answer.text):
                    acknowledged[words] = time.monotonic()

        await asyncio.gather(*(calls(worker) for worker in range(8)))


def kill_under_load(gateway, round_, seconds):
    """Kill the gateway in the midst of its work; returns when each acknowledged call was answered, and when it was killed."""
    acknowledged, stop = {}, threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(load(gateway.url, round_, acknowledged, stop)))
    thread.start()
    time.sleep(seconds)
    gateway.process.kill()
    killed = time.monotonic()
    gateway.process.wait()
    stop.set()
    thread.join(60)
    return acknowledged, killed


@pytest.mark.parametrize("mode", ["sync", "batch"])
def test_a_kill_under_load_tears_nothing_and_loses_no_more_than_is_said(upstream, tmp_path, database, mode, soak):
    rounds = 20 if soak else 2
    answered = 0
    for number in range(rounds):
        with running_gateway(tmp_path, upstream, SLM_LOG_MODE=mode, **database) as gateway:
            acknowledged, killed = kill_under_load(gateway, number, 0.7 + 0.1 * (number % 5))
            flushed = killed - gateway.settings.log_flush_seconds - MARGIN * (mode == "batch")
            safe = {words for words, when in acknowledged.items() if mode == "sync" or when < flushed}
            answered += len(acknowledged)
            found = logged_words(gateway.settings)
            held = set(found)
            lost = [killed - when for words, when in acknowledged.items() if words not in held]
            print(f"{mode}: {len(lost)} of {len(acknowledged)} lost, the oldest answered {max(lost, default=0):.3f} s before the kill")
            assert not safe - held
            assert len(found) == len(held)
    assert answered > 10 * rounds


def test_nothing_is_lost_at_an_orderly_end(upstream, tmp_path, database):
    with running_gateway(tmp_path, upstream, SLM_LOG_FLUSH_SECONDS="5", **database) as gateway:
        for number in range(20):
            assert httpx2.post(f"{gateway.url}/v1/chat/completions", json=body(f"call {number}")).status_code == 200
        gateway.process.terminate()
        assert gateway.process.wait(30) == 0
    assert sorted(logged_words(gateway.settings)) == sorted(f"call {number}" for number in range(20))


@contextmanager
def locked(path):
    """Nobody can write to the log while this lasts."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_when_the_queue_is_full_calls_are_answered_and_drops_are_counted(upstream, tmp_path):
    with running_gateway(tmp_path, upstream, SLM_LOG_QUEUE="5") as gateway:
        with locked(gateway.settings.call_log):
            statuses = [httpx2.post(f"{gateway.url}/v1/chat/completions", json=body(f"call {n}")).status_code for n in range(30)]
            assert statuses == [200] * 30
            dropped = gateway.metric("slm_log_dropped_total", reason="queue_full")
            assert 0 < dropped < 30
        assert eventually(lambda: gateway.metric("slm_log_written_total") + dropped == 30, 90)
        assert len(logged_words(gateway.settings)) == 30 - dropped


def test_in_sync_mode_an_answer_that_cannot_be_logged_is_withheld(upstream, tmp_path):
    with running_gateway(tmp_path, upstream, SLM_LOG_MODE="sync") as gateway:
        with locked(gateway.settings.call_log):
            answer = httpx2.post(f"{gateway.url}/v1/chat/completions", json=body("withheld"), timeout=60)
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "log_unavailable")
            received = []
            with pytest.raises(httpx2.RemoteProtocolError):
                receive(f"{gateway.url}/v1/chat/completions", body("withheld too", stream=True), received)
            assert "log_unavailable" in "".join(received)
            assert "[DONE]" not in "".join(received)
        assert eventually(lambda: httpx2.post(f"{gateway.url}/v1/chat/completions", json=body("again"), timeout=60).status_code == 200, 90)
