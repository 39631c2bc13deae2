"""The tables of the call log, and who may touch them on PostgreSQL.

Clear are only the columns that the pipeline queries. `ref`, `session`, `about`, `api_key` and `client` are keyed
pseudonyms (`keyring.py`), `body` is sealed.
"""

import sqlalchemy as sa

from slm_pipeline.s1_collect.roles import Role

metadata = sa.MetaData()
_number = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows by itself only in an INTEGER

records = sa.Table(
    "records",
    metadata,
    sa.Column("seq", _number, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),  # call, feedback
    sa.Column("ref", sa.LargeBinary(16), nullable=False, unique=True),  # of the call's id
    sa.Column("about", sa.LargeBinary(16)),  # feedback on one call: its ref
    sa.Column("session", sa.LargeBinary(16)),
    sa.Column("day", sa.Text, nullable=False),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("api_key", sa.LargeBinary(16)),
    sa.Column("task_group", sa.Text),
    sa.Column("route", sa.Text),
    sa.Column("bytes", sa.Integer, nullable=False),
    sa.Column("tokens", sa.Integer),
    sa.Column("success", sa.Boolean),
    sa.Column("score", sa.Float),
    sa.Column("content", sa.LargeBinary(8), nullable=False),  # keyed digest of the body
    sa.Column("key_id", _number, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("records_by_day", "day", "seq"),
    sa.Index("records_by_session", "session"),
    sa.Index("records_by_key", "key_id"),
    sqlite_autoincrement=True,
)
data_keys = sa.Table(
    "data_keys",
    metadata,
    sa.Column("id", _number, primary_key=True, autoincrement=True),
    sa.Column("client", sa.LargeBinary(16), nullable=False, unique=True),
    sa.Column("master", sa.Text, nullable=False),  # id of the master key that wraps it
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # the number of an erased key never comes back
)
system_keys = sa.Table(
    "system_keys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("master", sa.Text, nullable=False),
    sa.Column("wrapped", sa.LargeBinary, nullable=False),
)
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("ref", sa.LargeBinary(16), primary_key=True),
    sa.Column("client", sa.LargeBinary(16), nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("tokens_per_day", sa.Integer),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("key_id", _number, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("seq", _number, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("mac", sa.LargeBinary(32), nullable=False),
)
audit_head = sa.Table("audit_head", metadata, sa.Column("head", sa.Text, primary_key=True))
meta = sa.Table("meta", metadata, sa.Column("name", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False))

QUERIED = [c for c in records.c if c.name != "body"]
"""What a collector may see of records: enough to know a repeat and to book feedback, never a content."""

_EVERYONE = {"meta": ["SELECT"], "system_keys": ["SELECT"], "audit": ["SELECT", "INSERT"], "audit_head": ["SELECT", "UPDATE"]}
GRANTS = {
    Role.COLLECTOR: {
        "records": ["INSERT", f"SELECT ({', '.join(c.name for c in QUERIED)})"],
        "data_keys": ["SELECT", "INSERT"],
        "api_keys": ["SELECT"],
    },
    Role.PIPELINE: {"records": ["SELECT"], "data_keys": ["SELECT"]},
    Role.AUDITOR: {},
    Role.ADMIN: {
        "records": ["SELECT", "INSERT", "DELETE"],
        "data_keys": ["SELECT", "INSERT", "UPDATE", "DELETE"],
        "system_keys": ["UPDATE"],
        "meta": ["UPDATE"],
        "api_keys": ["SELECT", "INSERT", "DELETE"],
    },
}

_APPEND_ONLY = "the audit trail is append-only"


def create_tables(connection: sa.Connection) -> None:
    """Create what is missing; nobody can change or delete an entry of the audit trail afterwards, short of dropping the trigger."""
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            connection.exec_driver_sql(
                f"CREATE TRIGGER audit_no_{event.lower()} BEFORE {event} ON audit BEGIN SELECT RAISE(ABORT, '{_APPEND_ONLY}'); END"
            )
    else:
        connection.exec_driver_sql(
            f"CREATE FUNCTION slm_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '{_APPEND_ONLY}'; END $$"
        )
        connection.exec_driver_sql(
            "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit EXECUTE FUNCTION slm_append_only()"
        )
        _grant(connection)


def database_role(role: Role) -> str:
    """The PostgreSQL role that a process takes on; a login is given it by `GRANT slm_collector TO ...`."""
    return f"slm_{role}"


def _grant(connection: sa.Connection) -> None:
    """Create the four roles where they are missing, make the creating login a member, and grant each what its operations need."""
    run = connection.exec_driver_sql
    schema, sequences = run("SELECT current_schema()").scalar_one(), [f"{t}_{c}_seq" for t, c in (("records", "seq"), ("data_keys", "id"))]
    known = set(run("SELECT rolname FROM pg_roles").scalars())
    for role, tables in GRANTS.items():
        name = database_role(role)
        if name not in known:
            run(f"CREATE ROLE {name} NOLOGIN")
        run(f"GRANT {name} TO CURRENT_USER")
        run(f'GRANT USAGE ON SCHEMA "{schema}" TO {name}')
        for granted in (_EVERYONE, tables):
            for table, rights in granted.items():
                for right in rights:
                    run(f"GRANT {right} ON {table} TO {name}")
        if role in (Role.COLLECTOR, Role.ADMIN):
            for sequence in sequences:
                run(f"GRANT USAGE ON SEQUENCE {sequence} TO {name}")
