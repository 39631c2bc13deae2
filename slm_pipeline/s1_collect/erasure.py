"""What leaves the log: all of one client, or all that is older than allowed."""

import time
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.roles import Operation, Role
from slm_pipeline.s1_collect.schema import api_keys, data_keys, records
from slm_pipeline.settings import Settings

PATIENCE = 60  # seconds to wait for readers that hold the write-ahead log


def erase_client(database: Database, client_id: str) -> int:
    """Delete a client's data key, API keys, calls and feedback; returns the number of calls.

    What is left of them in copies of the database cannot be decrypted, for the key was never written unwrapped; the
    master key is then changed, so that not even a forgotten copy of the wrapped key opens. Raises TimeoutError if a
    reader keeps the write-ahead log from being emptied; nothing is lost by trying again.
    """
    database.require(Operation.ERASE)
    client = database.keyring.pseudonym("client", client_id)
    with database.writing() as connection:
        key = connection.execute(sa.select(data_keys.c.id).where(data_keys.c.client == client)).scalar_one_or_none()
        calls = connection.execute(sa.select(sa.func.count()).where(records.c.key_id == key, records.c.kind == "call")).scalar_one()
        connection.execute(api_keys.delete().where(api_keys.c.client == client))
        connection.execute(data_keys.delete().where(data_keys.c.client == client))
        connection.execute(records.delete().where(records.c.key_id == key))
        database.record(connection, "client erased", client=client.hex(), calls=calls)
    _overwrite(database)
    return calls


def delete_before(database: Database, day: str) -> int:
    """Delete the calls and feedback of days before `day` (YYYY-MM-DD); returns the number of calls. What was curated from them stays."""
    database.require(Operation.EXPIRE)
    with database.writing() as connection:
        old = records.c.day < day
        calls = connection.execute(sa.select(sa.func.count()).where(old, records.c.kind == "call")).scalar_one()
        if calls:
            connection.execute(records.delete().where(old))
            database.record(connection, "old calls deleted", before=day, calls=calls)
    return calls


def delete_older_than(days: int, settings: Settings) -> int:
    """`delete_before` of the UTC day `days` days ago."""
    first_kept = (datetime.now(UTC) - timedelta(days=days)).date().isoformat()
    return delete_before(Database(settings, Role.ADMIN), first_kept)


def rotate_master_key(database: Database) -> None:
    """Wrap all data keys under a new master key and forget the old one. Raises MasterKeyError if there is no new one."""
    database.require(Operation.ROTATE)
    with database.writing() as connection:
        new = database.keyring.rotate(connection)
        database.record(connection, "master key rotated")
    database.master.keep_only(new)
    _overwrite(database)


def _overwrite(database: Database) -> None:
    """Leave nothing of deleted rows in free pages and in the write-ahead log."""
    with database.reading() as connection:
        if not database.is_sqlite:
            connection.exec_driver_sql("RESET ROLE")  # only the owner of the tables may
            connection.exec_driver_sql("VACUUM FULL data_keys, system_keys, api_keys")
            connection.invalidate()
            return
        # pages that were split may hold copies of rows that secure_delete has not seen
        connection.exec_driver_sql("VACUUM")
        deadline = time.monotonic() + PATIENCE
        while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]:
            if time.monotonic() > deadline:
                raise TimeoutError("Another process reads the call log all the time, so its write-ahead log cannot be emptied: try again.")
            time.sleep(0.1)
