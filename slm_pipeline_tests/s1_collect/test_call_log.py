import multiprocessing
import os
import signal
import stat
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.s1_collect.call_log import BATCH, CallLog, Feedback
from slm_pipeline.s1_collect.database import LogUnavailable
from slm_pipeline.s1_collect.master_key import MasterKeyError
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s1_collect.schema import records
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect.calls import call

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()


def at(day: int, hour: int = 0) -> float:
    return datetime(2026, 10, day, hour, tzinfo=UTC).timestamp()


@pytest.fixture
def collector(log_settings):
    return CallLog(log_settings, Role.COLLECTOR)


@pytest.fixture
def log(collector, log_settings):
    return CallLog(log_settings, Role.PIPELINE)


def say(collector, **feedback):
    with collector.database.writing() as connection:
        return collector.append_feedback(connection, Feedback(**feedback))


def test_calls_come_back_as_they_were_appended(collector, log):
    calls = [call(n, timestamp=at(2, n), extra={"kept": [1, None]}) for n in range(3)]
    assert collector.append(calls, NOW).added == 3
    assert [c.to_json() for c in log.read("2026-10-02")] == [c.to_json() for c in calls]


def test_appending_again_changes_nothing(collector, log):
    calls = [call(n, timestamp=at(2)) for n in range(3)]
    collector.append(calls, NOW)
    before = log.cursor(), log.fingerprint("2026-10-02")
    again = collector.append([*calls, calls[0].model_copy(update={"agent": "other"})], NOW)
    assert (again.added, again.repeated) == (0, 4)
    assert (log.cursor(), log.fingerprint("2026-10-02")) == before


def test_more_calls_than_a_page_come_back_in_order(collector, log):
    collector.append((call(n, timestamp=at(2)) for n in range(250)), NOW)
    assert [c.id for c in log.read("2026-10-02")] == [f"c{n}" for n in range(250)]


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
def test_a_call_is_booked_on_its_day_or_on_arrival(home, timestamp, day):
    CallLog(get_settings(), Role.COLLECTOR).append([call(timestamp=timestamp)], NOW)
    assert CallLog(get_settings(), Role.PIPELINE).days() == [day]


def test_touched_days_follow_the_cursor(collector, log):
    collector.append([call(0, timestamp=at(2)), call(1, timestamp=at(3))], NOW)
    cursor = log.cursor()
    assert log.touched_days(0) == {"2026-10-02": 1, "2026-10-03": 2}
    assert log.touched_days(cursor) == {}
    collector.append([call(2, timestamp=at(3))], NOW)
    assert log.touched_days(cursor) == {"2026-10-03": log.cursor()}


def test_the_fingerprint_does_not_depend_on_the_order_of_arrival(collector, log):
    calls = [call(n, timestamp=at(2)) for n in range(5)]
    collector.append([*calls[:3], *(c.model_copy(update={"timestamp": at(3)}) for c in calls[3:])], NOW)
    one, other = log.fingerprint("2026-10-02"), log.fingerprint("2026-10-03")
    assert one != other
    collector.append([call(9, timestamp=at(2))], NOW)
    assert log.fingerprint("2026-10-02") != one
    assert log.fingerprint("2026-10-03") == other


def test_feedback_on_a_call_becomes_its_outcome_and_touches_its_day(collector, log):
    collector.append([call(0, timestamp=at(2)), call(1, timestamp=at(2), outcome={"gold": {"content": "x"}})], NOW)
    cursor, before = log.cursor(), log.fingerprint("2026-10-02")
    assert say(collector, call_id="c1", outcome={"success": False, "comment": "no"}) == 1
    assert say(collector, call_id="c1", outcome={"success": True}) == 1
    assert [c.outcome for c in log.read("2026-10-02")] == [None, {"gold": {"content": "x"}, "success": True, "comment": "no"}]
    assert set(log.touched_days(cursor)) == {"2026-10-02"}
    assert log.fingerprint("2026-10-02") != before


def test_feedback_on_a_session_reaches_all_its_calls_on_all_days(collector, log):
    collector.append([call(n, session="s", timestamp=at(2 + n // 2)) for n in range(4)], NOW)
    assert say(collector, session_id="s", outcome={"score": 0.5}) == 4
    assert [c.outcome for day in log.days() for c in log.read(day)] == [{"score": 0.5}] * 4


def test_feedback_on_what_is_not_there_or_not_ones_own_is_refused(collector, log):
    collector.append([call(0, timestamp=at(2))], NOW)
    assert say(collector, call_id="c9", outcome={"success": True}) == 0
    assert say(collector, call_id="c0", client_id="another", outcome={"success": False}) == 0
    assert [c.outcome for c in log.read("2026-10-02")] == [None]


SECRETS = ("Ada Lovelace", "s0 of Ada", "tell nobody", "client", "a remark")


def test_nothing_of_a_call_is_readable_in_the_database(collector, log_settings):
    said = call(0, session=SECRETS[1], question=SECRETS[0], text=SECRETS[2], timestamp=at(2), client_id=SECRETS[3], id="call of Ada")
    collector.append([said], NOW)
    say(collector, call_id="call of Ada", outcome={"comment": SECRETS[4], "correction": {"content": SECRETS[2]}})
    with CallLog(log_settings, Role.PIPELINE).database.reading() as connection:
        rows = repr([tuple(row) for row in connection.execute(sa.select(records))]).encode()
        files = [] if log_settings.log_url else [p.read_bytes() for p in log_settings.call_log.parent.iterdir()]
    assert not [text for text in (*SECRETS, "call of Ada") for found in (rows, *files) if text.encode() in found and text != "client"]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_or_moved_record_is_refused(home, data):
    collector = CallLog(get_settings(), Role.COLLECTOR)
    collector.append([call(n, timestamp=at(2)) for n in range(2)], NOW)
    admin = CallLog(get_settings(), Role.ADMIN)
    with admin.database.writing() as connection:
        first, second = (bytes(body) for body in connection.execute(sa.select(records.c.body).order_by(records.c.seq).limit(2)).scalars())
        changed = bytearray(first)
        changed[data.draw(st.integers(0, len(first) - 1))] ^= data.draw(st.integers(1, 255))
        for forged in (bytes(changed), second):
            connection.execute(records.update().where(records.c.seq == 1).values(body=forged))
    with pytest.raises(InvalidTag):
        list(admin.read("2026-10-02"))
    with admin.database.writing() as connection:
        connection.execute(records.update().where(records.c.seq == 1).values(body=first))


def test_without_its_master_key_a_log_says_what_to_do(collector, log_settings):
    (key,) = [f for f in log_settings.keys.glob("*.key") if f.stem == collector.database.master.file.stem]
    kept = key.read_text()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    key.unlink()
    with pytest.raises(MasterKeyError, match="backup"):
        CallLog(log_settings, Role.PIPELINE)
    key.write_text("A" * 43 + "=\n")
    with pytest.raises(MasterKeyError, match="not the one given"):
        CallLog(log_settings, Role.PIPELINE)
    key.write_text(kept)
    assert CallLog(log_settings, Role.PIPELINE).days() == []


def test_the_master_key_may_come_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("SLM_MASTER_KEY", "k" * 42 + "w=")
    before = set(get_settings().keys.glob("*"))
    CallLog(get_settings(), Role.COLLECTOR).append([call(timestamp=at(2))], NOW)
    assert len(list(CallLog(get_settings(), Role.PIPELINE).read("2026-10-02"))) == 1
    assert set(get_settings().keys.glob("*")) == before
    monkeypatch.setenv("SLM_MASTER_KEY", "too short")
    with pytest.raises(MasterKeyError, match="openssl rand"):
        CallLog(get_settings(), Role.COLLECTOR)


def test_a_database_that_does_not_answer_is_named_without_its_password(home, monkeypatch):
    monkeypatch.setenv("SLM_LOG_URL", "postgresql+psycopg://slm:hunter2@127.0.0.1:1/slm")
    with pytest.raises(LogUnavailable, match=r"127\.0\.0\.1:1") as caught:
        CallLog(get_settings(), Role.COLLECTOR)
    assert "hunter2" not in str(caught.value)


def test_only_the_owner_may_read_the_log(home):
    log = CallLog(get_settings(), Role.COLLECTOR)
    log.append([call()], NOW)
    with log.database.reading():
        assert {stat.S_IMODE(p.stat().st_mode) for p in (home / "log").iterdir()} == {0o600}


def _append(start):
    CallLog(get_settings(), Role.COLLECTOR).append((call(n, timestamp=at(2)) for n in range(start, start + 1200)), NOW)


def _die_while_appending():
    def calls():
        yield from (call(n, timestamp=at(2)) for n in range(BATCH + 10))
        os.kill(os.getpid(), signal.SIGKILL)

    CallLog(get_settings(), Role.COLLECTOR).append(calls(), NOW)


def test_concurrent_appenders_lose_nothing_and_repeat_nothing(log_settings):
    workers = [multiprocessing.get_context("fork").Process(target=_append, args=(start,)) for start in (0, 600, 1800)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    log = CallLog(log_settings, Role.PIPELINE)
    assert sorted(int(c.id[1:]) for c in log.read("2026-10-02")) == list(range(3000))


def test_a_kill_loses_only_the_batch_in_hand_and_the_import_can_be_repeated(log_settings):
    worker = multiprocessing.get_context("fork").Process(target=_die_while_appending)
    worker.start()
    worker.join()
    collector, log = CallLog(log_settings, Role.COLLECTOR), CallLog(log_settings, Role.PIPELINE)
    assert worker.exitcode == -signal.SIGKILL
    assert sum(1 for _ in log.read("2026-10-02")) == BATCH
    assert collector.append((call(n, timestamp=at(2)) for n in range(BATCH + 10)), NOW).added == 10
