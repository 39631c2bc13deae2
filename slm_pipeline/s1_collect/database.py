"""The database of the call log as one role sees it: SQLite in a file that only its owner can read, or PostgreSQL by URL."""

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from slm_pipeline.s1_collect import audit
from slm_pipeline.s1_collect.keyring import Keyring, create_keys
from slm_pipeline.s1_collect.master_key import MasterKey
from slm_pipeline.s1_collect.roles import Operation, Role, require
from slm_pipeline.s1_collect.schema import create_tables, database_role, meta
from slm_pipeline.settings import Settings

LOG_ID = "log_id"
_LOCK = 0x534C4D  # PostgreSQL's advisory lock of writers: sequence numbers are committed in order, so that a cursor misses none


class LogUnavailable(RuntimeError):
    """The database of the log does not answer, or does not let this process in."""


class Database:
    """Connections for `role`, and the keys. Created on first use; raises LogUnavailable or MasterKeyError."""

    def __init__(self, settings: Settings, role: Role):
        self.role = role
        if not log_exists(settings):
            _create(settings)
        self._engine = _engine(settings.log_address, role)
        with self.reading() as connection:
            self.master = MasterKey(settings, _meta(connection, LOG_ID))
            self.keyring = Keyring(connection, self.master)

    def require(self, operation: Operation) -> None:
        require(self.role, operation)

    @property
    def is_sqlite(self) -> bool:
        return self._engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection on which every statement is a transaction of its own."""
        try:
            with self._engine.connect() as connection:
                yield connection
        except sa.exc.OperationalError as error:
            raise LogUnavailable(f"The call log does not answer: {_first_line(error)}") from error

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in a transaction; one writer at a time."""
        with self.reading() as connection, _transaction(connection):
            yield connection

    def record(self, connection: sa.Connection, action: str, **detail: object) -> None:
        """Append to the audit trail what this role does, in the same transaction."""
        audit.record(connection, self.keyring.audit_key, self.role, action, detail)

    def trail(self) -> list[audit.Entry]:
        """The audit trail, oldest entry first."""
        self.require(Operation.READ_TRAIL)
        with self.reading() as connection:
            return audit.entries(connection)

    def verify_trail(self, noted: str | None = None) -> tuple[int, str]:
        """The number of entries and the head; raises audit.Tampered (see `audit.verify`)."""
        self.require(Operation.READ_TRAIL)
        with self.reading() as connection:
            return audit.verify(connection, self.keyring.audit_key, noted)

    def close(self) -> None:
        self._engine.dispose()


def log_exists(settings: Settings) -> bool:
    """Whether the log was ever written to; creates nothing."""
    if settings.log_address.startswith("sqlite"):
        return settings.call_log.exists()
    with _reaching(settings), _engine(settings.log_address).connect() as connection:
        return sa.inspect(connection).has_table(meta.name)


def _create(settings: Settings) -> None:
    if not settings.log_address.startswith("sqlite"):
        with _reaching(settings), _engine(settings.log_address).connect() as connection, _transaction(connection):
            if not sa.inspect(connection).has_table(meta.name):
                _fill(connection, settings)
        return
    # made under another name and linked into place, so that of several creators one wins and none waits
    path = settings.call_log
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = Path(folder, path.name)
        new.touch(mode=0o600)
        engine = _engine(f"sqlite:///{new}")
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            with _transaction(connection):
                master = _fill(connection, settings)
        engine.dispose()
        try:
            path.hardlink_to(new)
        except FileExistsError:
            master.file.unlink(missing_ok=True)  # the key of a log that was not made after all


def _fill(connection: sa.Connection, settings: Settings) -> MasterKey:
    create_tables(connection)
    log_id = uuid.uuid4().hex[:16]
    connection.execute(meta.insert().values(name=LOG_ID, value=log_id))
    master = MasterKey(settings, log_id)
    create_keys(connection, master.create())
    keyring = Keyring(connection, master)
    audit.create_trail(connection, keyring.audit_key)
    audit.record(connection, keyring.audit_key, Role.ADMIN, "log created", {})
    return master


def _engine(address: str, role: Role | None = None) -> sa.Engine:
    sqlite = address.startswith("sqlite")
    engine = sa.create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # an error's text must not show what was to be written
        connect_args={"timeout": 60} if sqlite else {"connect_timeout": 10},
        # the gateway writes all the time, the others now and then: theirs shall not stay connected
        **({"pool_pre_ping": True} if role is Role.COLLECTOR else {"poolclass": sa.NullPool}),
    )

    @sa.event.listens_for(engine, "connect")
    def connected(connection: object, _: object) -> None:
        if sqlite:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")  # what is deleted is overwritten
        elif role:
            try:
                connection.execute(f"SET ROLE {database_role(role)}")
            except Exception as error:
                mend = f"Let an administrator run: GRANT {database_role(role)} TO {engine.url.username};"
                raise LogUnavailable(f"The database login {engine.url.username} may not act as {role}. {mend}") from error

    return engine


@contextmanager
def _transaction(connection: sa.Connection) -> Iterator[None]:
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "BEGIN")
    try:
        if not sqlite:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")


@contextmanager
def _reaching(settings: Settings) -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        where = sa.make_url(settings.log_address).render_as_string(hide_password=True)
        raise LogUnavailable(f"The call log at {where} cannot be used: {_first_line(error)}") from error


def _meta(connection: sa.Connection, name: str) -> str:
    return connection.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar_one()


def _first_line(error: sa.exc.DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
