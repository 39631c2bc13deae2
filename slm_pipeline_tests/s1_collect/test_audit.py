import pytest
import sqlalchemy as sa

from slm_pipeline.s1_collect.audit import Tampered
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline_tests.s1_collect.calls import call


@pytest.fixture
def trail(log_settings):
    """An auditor's view of a log that was read four times."""
    CallLog(log_settings, Role.COLLECTOR).append([call()])
    reader = CallLog(log_settings, Role.PIPELINE)
    for _ in range(4):
        list(reader.read(reader.days()[0]))
    return Database(log_settings, Role.AUDITOR)


def forge(settings, *statements):
    """What somebody does who holds the database, but not the master key: no trigger stops them."""
    engine = sa.create_engine(settings.log_address, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            for event in ("update", "delete"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS audit_no_{event}")
        else:
            connection.exec_driver_sql("ALTER TABLE audit DISABLE TRIGGER ALL")
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def test_the_trail_tells_who_read_what_and_verifies(trail):
    written = trail.trail()
    assert [(e.seq, e.role, e.action) for e in written] == [(1, "admin", "log created")] + [
        (n, "pipeline", "day read") for n in range(2, 6)
    ]
    assert trail.verify_trail()[0] == 5


def test_a_noted_head_stays_in_the_trail(trail, log_settings):
    _, noted = trail.verify_trail()
    reader = CallLog(log_settings, Role.PIPELINE)
    list(reader.read(reader.days()[0]))
    count, newest = trail.verify_trail(noted)
    assert count == 6
    assert newest != noted
    with pytest.raises(Tampered, match="older state"):
        trail.verify_trail("9:0123456789abcdef")


@pytest.mark.parametrize(
    ("forgery", "found"),
    [
        ("UPDATE audit SET detail = '{}' WHERE seq = 3", "Entry 3"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", "Entry 2"),
        ("UPDATE audit SET role = 'auditor' WHERE seq = 5", "Entry 5"),
        ("DELETE FROM audit WHERE seq = 3", "Entry 3 is missing"),
        ("DELETE FROM audit WHERE seq = 1", "Entry 1 is missing"),
        ("DELETE FROM audit WHERE seq = 5", "ends with entry 4"),
        ("DELETE FROM audit", "ends with entry 0"),
        ("UPDATE audit_head SET head = '4:' || substr(head, 3)", "ends with entry 5"),
        ("UPDATE audit SET mac = (SELECT mac FROM audit WHERE seq = 2) WHERE seq = 3", "Entry 3"),
    ],
)
def test_tampering_is_found(trail, log_settings, forgery, found):
    forge(log_settings, forgery)
    with pytest.raises(Tampered, match=found):
        trail.verify_trail()


def test_entries_cannot_be_changed_by_those_who_use_the_log(trail, log_settings):
    admin = Database(log_settings, Role.ADMIN)
    for statement in ("UPDATE audit SET role = 'x'", "DELETE FROM audit"):
        with pytest.raises(sa.exc.DBAPIError), admin.writing() as connection:
            connection.exec_driver_sql(statement)
    assert trail.verify_trail()[0] == 5
