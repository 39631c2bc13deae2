import multiprocessing
import os
import signal
import stat
from datetime import UTC, date, datetime

import pytest

from slm_pipeline.s1_collect.call_log import BATCH, CallLog
from slm_pipeline_tests.s1_collect.calls import call

FIRST = date(2026, 10, 1)
NOW = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()


def at(day: int, hour: int = 0) -> float:
    return datetime(2026, 10, day, hour, tzinfo=UTC).timestamp()


@pytest.fixture
def log(tmp_path):
    return CallLog(tmp_path / "log" / "calls.sqlite", FIRST)


def test_calls_come_back_as_they_were_appended(log):
    calls = [call(n, timestamp=at(2, n), extra={"kept": [1, None]}) for n in range(3)]
    assert log.append(calls, NOW).added == 3
    assert [c.to_json() for c in log.read("2026-10-02")] == [c.to_json() for c in calls]


def test_appending_again_changes_nothing(log):
    calls = [call(n, timestamp=at(2)) for n in range(3)]
    log.append(calls, NOW)
    before = log.cursor(), log.fingerprint("2026-10-02")
    again = log.append([*calls, calls[0].model_copy(update={"agent": "other"})], NOW)
    assert (again.added, again.repeated) == (0, 4)
    assert (log.cursor(), log.fingerprint("2026-10-02")) == before


@pytest.mark.parametrize(
    ("timestamp", "day"),
    [
        (at(1), "2026-10-01"),
        (at(5, 23), "2026-10-05"),
        (at(1) - 1, "2026-10-05"),  # before the first day
        (at(6), "2026-10-05"),  # tomorrow
        (at(2) * 1000, "2026-10-05"),  # milliseconds
        (1e300, "2026-10-05"),
    ],
)
def test_a_call_is_booked_on_its_day_or_on_arrival(log, timestamp, day):
    log.append([call(timestamp=timestamp)], NOW)
    assert log.days() == [day]


def test_touched_days_follow_the_cursor(log):
    log.append([call(0, timestamp=at(2)), call(1, timestamp=at(3))], NOW)
    cursor = log.cursor()
    assert log.touched_days(0) == {"2026-10-02": 1, "2026-10-03": 2}
    assert log.touched_days(cursor) == {}
    log.append([call(2, timestamp=at(3))], NOW)
    assert log.touched_days(cursor) == {"2026-10-03": log.cursor()}


def test_the_fingerprint_does_not_depend_on_the_order_of_arrival(tmp_path):
    calls = [call(n, timestamp=at(2)) for n in range(5)]
    logs = [CallLog(tmp_path / name, FIRST) for name in "ab"]
    logs[0].append(calls, NOW)
    logs[1].append(reversed(calls), NOW)
    assert logs[0].fingerprint("2026-10-02") == logs[1].fingerprint("2026-10-02") != logs[0].fingerprint("2026-10-03")


def test_only_the_owner_may_read_the_log(log, tmp_path):
    log.append([call()], NOW)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "log").iterdir()} == {0o600}


def _append(path, start):
    CallLog(path, FIRST).append((call(n, timestamp=at(2)) for n in range(start, start + 1200)), NOW)


def _die_while_appending(path):
    def calls():
        yield from (call(n, timestamp=at(2)) for n in range(BATCH + 10))
        os.kill(os.getpid(), signal.SIGKILL)

    CallLog(path, FIRST).append(calls(), NOW)


def test_concurrent_appenders_lose_nothing_and_repeat_nothing(tmp_path):
    path = tmp_path / "calls.sqlite"
    workers = [multiprocessing.get_context("fork").Process(target=_append, args=(path, start)) for start in (0, 600, 1800)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(int(c.id[1:]) for c in CallLog(path, FIRST).read("2026-10-02")) == list(range(3000))


def test_a_kill_loses_only_the_batch_in_hand_and_the_import_can_be_repeated(tmp_path):
    path = tmp_path / "calls.sqlite"
    worker = multiprocessing.get_context("fork").Process(target=_die_while_appending, args=(path,))
    worker.start()
    worker.join()
    log = CallLog(path, FIRST)
    assert worker.exitcode == -signal.SIGKILL
    assert log.cursor() == BATCH
    assert log.append((call(n, timestamp=at(2)) for n in range(BATCH + 10)), NOW).added == 10
