from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from slm_pipeline.s1_collect import api_keys
from slm_pipeline.s1_collect.api_keys import KeyRole
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.erasure import delete_before, erase_client, rotate_master_key
from slm_pipeline.s1_collect.master_key import MasterKeyError
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s1_collect.schema import data_keys, records
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect.calls import call

NOW = datetime(2026, 10, 5, 12, tzinfo=UTC).timestamp()
DAY = "2026-10-02"
STAMP = datetime(2026, 10, 2, tzinfo=UTC).timestamp()


@pytest.fixture
def collector(log_settings):
    """A log with 40 calls each of 60 clients: enough that pages were split."""
    log = CallLog(log_settings, Role.COLLECTOR)
    log.append((call(n, timestamp=STAMP, client_id=f"client {n % 60}") for n in range(2400)), NOW)
    return log


@pytest.fixture
def admin(collector, log_settings):
    return CallLog(log_settings, Role.ADMIN)


def secrets_of(admin, client):
    """The wrapped key and the sealed calls of a client, as the database holds them."""
    pseudonym = admin.database.keyring.pseudonym("client", client)
    with admin.database.reading() as connection:
        key = connection.execute(sa.select(data_keys).where(data_keys.c.client == pseudonym)).one()
        return bytes(key.wrapped), [
            bytes(b) for b in connection.execute(sa.select(records.c.body).where(records.c.key_id == key.id)).scalars()
        ]


def test_an_erased_client_is_gone_and_the_others_are_not(collector, admin, log_settings):
    before = admin.fingerprint(DAY)
    assert erase_client(admin.database, "client 7") == 40
    reader = CallLog(log_settings, Role.PIPELINE)
    assert {c.client_id for c in reader.read(DAY)} == {f"client {n}" for n in range(60) if n != 7}
    assert reader.fingerprint(DAY) != before
    assert erase_client(admin.database, "client 7") == 0
    assert admin.database.verify_trail()[0] > 0


@pytest.mark.parametrize("log_settings", ["sqlite"], indirect=True)  # PostgreSQL's files are its server's: the next test holds there too
def test_its_key_and_its_records_are_in_no_file_any_more(collector, admin, log_settings):
    wrapped, bodies = secrets_of(admin, "client 7")
    folder = log_settings.call_log.parent

    def found(secret):
        return [path.name for path in folder.iterdir() if secret in path.read_bytes()]

    assert found(wrapped)
    erase_client(admin.database, "client 7")
    assert not found(wrapped)
    assert not [body for body in bodies if found(body[:64])]


def test_after_a_rotation_an_old_copy_of_a_wrapped_key_does_not_open(collector, admin, log_settings):
    wrapped, _ = secrets_of(admin, "client 7")
    old = admin.database.master.load()
    erase_client(admin.database, "client 7")
    rotate_master_key(admin.database)
    keys = admin.database.master.load()
    assert len(keys) == 1
    assert not set(keys) & set(old)
    with pytest.raises(MasterKeyError):
        admin.database.keyring._unwrap(next(iter(keys)), wrapped, admin.database.keyring.pseudonym("client", "client 7"))


def test_a_rotation_rewrites_no_content_and_an_open_collector_goes_on(collector, admin, log_settings):
    with admin.database.reading() as connection:
        before = connection.execute(sa.select(records.c.body).order_by(records.c.seq)).scalars().all()
    rotate_master_key(admin.database)
    collector.append([call(9000, timestamp=STAMP, client_id="a new one"), call(9001, timestamp=STAMP, client_id="client 3")], NOW)
    with admin.database.reading() as connection:
        after = connection.execute(sa.select(records.c.body).order_by(records.c.seq)).scalars().all()
    assert after[: len(before)] == before
    assert len(list(CallLog(log_settings, Role.PIPELINE).read(DAY))) == 2402


def test_a_client_that_calls_again_after_its_erasure_gets_a_new_key(collector, admin, log_settings):
    erase_client(admin.database, "client 7")
    collector.append([call(9000, timestamp=STAMP, client_id="client 7")], NOW)
    assert [c.id for c in CallLog(log_settings, Role.PIPELINE).read(DAY) if c.client_id == "client 7"] == ["c9000"]


def test_with_a_key_from_the_environment_the_new_one_must_be_given(home, monkeypatch):
    old, new = "o" * 42 + "0=", "n" * 42 + "0="
    monkeypatch.setenv("SLM_MASTER_KEY", old)
    CallLog(get_settings(), Role.COLLECTOR).append([call(timestamp=STAMP)], NOW)
    with pytest.raises(MasterKeyError, match="SLM_NEXT_MASTER_KEY"):
        rotate_master_key(CallLog(get_settings(), Role.ADMIN).database)
    monkeypatch.setenv("SLM_NEXT_MASTER_KEY", new)
    rotate_master_key(CallLog(get_settings(), Role.ADMIN).database)
    monkeypatch.delenv("SLM_NEXT_MASTER_KEY")
    with pytest.raises(MasterKeyError, match="not the one given"):
        CallLog(get_settings(), Role.PIPELINE)
    monkeypatch.setenv("SLM_MASTER_KEY", new)
    assert len(list(CallLog(get_settings(), Role.PIPELINE).read(DAY))) == 1


def test_old_calls_leave_and_newer_ones_stay(admin, collector):
    collector.append([call(9000, timestamp=STAMP + 86400)], NOW)
    assert delete_before(admin.database, "2026-10-03") == 2400
    assert admin.days() == ["2026-10-03"]


def test_api_keys_are_known_by_pseudonym_and_leave_with_their_client(admin, log_settings):
    key = api_keys.add(admin.database, "acme", KeyRole.AGENT, agent="support", tokens_per_day=1000)
    api_keys.add(admin.database, "other", KeyRole.MONITOR)
    (first, second) = api_keys.listed(admin.database)
    assert (first.client_id, first.agent, first.role, first.tokens_per_day) == ("acme", "support", KeyRole.AGENT, 1000)
    assert first.ref == admin.database.keyring.pseudonym("api key", key)
    assert key.endswith(first.shown)
    erase_client(admin.database, "acme")
    assert api_keys.listed(admin.database) == [second]
    assert api_keys.remove(admin.database, second.shown) == 1
    assert api_keys.listed(admin.database) == []
