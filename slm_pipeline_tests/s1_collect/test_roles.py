"""Every role tries every operation, in code and, on PostgreSQL, behind the code's back."""

import pytest
import sqlalchemy as sa

from slm_pipeline.s1_collect import api_keys, erasure
from slm_pipeline.s1_collect.api_keys import KeyRole
from slm_pipeline.s1_collect.call_log import CallLog, Feedback
from slm_pipeline.s1_collect.roles import NotAllowed, Operation, Role
from slm_pipeline_tests.s1_collect.calls import call

DAY = "2026-10-02"


def _feedback(log):
    with log.database.writing() as connection:
        log.append_feedback(connection, Feedback({"success": True}, call_id="c0"))


TRIES = {
    "append calls": (Operation.APPEND, lambda log: log.append([call(7)])),
    "append feedback": (Operation.APPEND, _feedback),
    "read calls": (Operation.READ, lambda log: list(log.read(DAY))),
    "list days": (Operation.READ, lambda log: log.days()),
    "follow the cursor": (Operation.READ, lambda log: log.touched_days(0)),
    "take the fingerprint": (Operation.READ, lambda log: log.fingerprint(DAY)),
    "list API keys": (Operation.CHECK_KEYS, lambda log: api_keys.listed(log.database)),
    "count tokens": (Operation.CHECK_KEYS, lambda log: log.tokens_of_day(DAY)),
    "make an API key": (Operation.MANAGE_KEYS, lambda log: api_keys.add(log.database, "c", KeyRole.AGENT)),
    "remove an API key": (Operation.MANAGE_KEYS, lambda log: api_keys.remove(log.database, "none")),
    "read the trail": (Operation.READ_TRAIL, lambda log: log.database.trail()),
    "verify the trail": (Operation.READ_TRAIL, lambda log: log.database.verify_trail()),
    "delete old calls": (Operation.EXPIRE, lambda log: erasure.delete_before(log.database, "2000-01-01")),
    "rotate the master key": (Operation.ROTATE, lambda log: erasure.rotate_master_key(log.database)),
    "erase a client": (Operation.ERASE, lambda log: erasure.erase_client(log.database, "client")),
}
MAY = {
    Role.COLLECTOR: {"append calls", "append feedback", "list API keys", "count tokens"},
    Role.PIPELINE: {"read calls", "list days", "follow the cursor", "take the fingerprint"},
    Role.AUDITOR: {"read the trail", "verify the trail"},
    Role.ADMIN: set(TRIES),
}


def test_the_matrix_tries_every_operation():
    assert {operation for operation, _ in TRIES.values()} == set(Operation)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_its_own_and_nothing_else(log_settings, role):
    CallLog(log_settings, Role.COLLECTOR).append([call()])
    log = CallLog(log_settings, role)
    for name, (_, attempt) in TRIES.items():
        if name in MAY[role]:
            attempt(log)
        else:
            with pytest.raises(NotAllowed, match=f"role {role} may not"):
                attempt(log)


STATEMENTS = {
    "SELECT body FROM records": {Role.PIPELINE, Role.ADMIN},
    "SELECT day FROM records": {Role.COLLECTOR, Role.PIPELINE, Role.ADMIN},
    "DELETE FROM records": {Role.ADMIN},
    "UPDATE records SET day = 'x'": set(),
    "SELECT wrapped FROM data_keys": {Role.COLLECTOR, Role.PIPELINE, Role.ADMIN},
    "DELETE FROM data_keys": {Role.ADMIN},
    "UPDATE data_keys SET master = 'x'": {Role.ADMIN},
    "SELECT body FROM api_keys": {Role.COLLECTOR, Role.ADMIN},
    "DELETE FROM api_keys": {Role.ADMIN},
    "UPDATE api_keys SET role = 'admin'": set(),
    "UPDATE system_keys SET master = 'x'": {Role.ADMIN},
    "UPDATE meta SET value = 'x'": {Role.ADMIN},
    "SELECT detail FROM audit": set(Role),
    "DELETE FROM audit": set(),
    "UPDATE audit SET role = 'x'": set(),
    "DROP TABLE audit": set(),
}


@pytest.mark.parametrize("role", Role)
def test_postgresql_holds_the_roles_apart_by_itself(postgresql, home, monkeypatch, role):
    from slm_pipeline.settings import get_settings

    monkeypatch.setenv("SLM_LOG_URL", postgresql)
    database = CallLog(get_settings(), role).database
    for statement, able in STATEMENTS.items():
        with database.reading() as connection:
            connection.exec_driver_sql("BEGIN")
            if role in able:
                connection.exec_driver_sql(statement)
            else:
                with pytest.raises(sa.exc.ProgrammingError, match=r"permission denied|must be owner"):
                    connection.exec_driver_sql(statement)
            connection.exec_driver_sql("ROLLBACK")


def test_a_login_without_the_role_is_told_what_to_ask_for(postgresql, home, monkeypatch):
    from slm_pipeline.s1_collect.database import LogUnavailable
    from slm_pipeline.settings import get_settings

    monkeypatch.setenv("SLM_LOG_URL", postgresql)
    CallLog(get_settings(), Role.COLLECTOR).append([call()])
    engine = sa.create_engine(postgresql, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE ROLE slm_test_reader LOGIN PASSWORD 'x'")
        try:
            connection.exec_driver_sql("GRANT slm_pipeline TO slm_test_reader")
            login = sa.make_url(postgresql).set(username="slm_test_reader", password="x").render_as_string(hide_password=False)
            monkeypatch.setenv("SLM_LOG_URL", login)
            reader = CallLog(get_settings(), Role.PIPELINE)
            assert len(list(reader.read(reader.days()[0]))) == 1
            reader.database.close()
            with pytest.raises(LogUnavailable, match="GRANT slm_collector TO slm_test_reader"):
                CallLog(get_settings(), Role.COLLECTOR)
        finally:
            connection.exec_driver_sql("DROP OWNED BY slm_test_reader")
            connection.exec_driver_sql("DROP ROLE slm_test_reader")
    engine.dispose()
