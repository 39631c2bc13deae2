"""API keys of the gateway's clients. The log holds a keyed pseudonym of each and, sealed, whose it is; the key itself is shown once."""

import secrets
import time
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from pydantic_core import from_json, to_json

from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.keyring import seal, unseal
from slm_pipeline.s1_collect.roles import Operation
from slm_pipeline.s1_collect.schema import api_keys

PREFIX = "slm-"


class KeyRole(StrEnum):
    """An agent calls models and gives feedback on its own calls, a monitor reads metrics, an admin does all of it for every client."""

    AGENT = "agent"
    MONITOR = "monitor"
    ADMIN = "admin"


@dataclass(frozen=True)
class ApiKey:
    """`ref` stands for the key, `shown` are its last characters, `tokens_per_day` is its budget (None: no limit)."""

    ref: bytes
    client_id: str
    agent: str | None
    role: KeyRole
    tokens_per_day: int | None
    shown: str


def add(database: Database, client_id: str, role: KeyRole, agent: str | None = None, tokens_per_day: int | None = None) -> str:
    """Make a key for a client; returns it, for the only time."""
    database.require(Operation.MANAGE_KEYS)
    key, keyring = PREFIX + secrets.token_urlsafe(32), database.keyring
    ref, client = keyring.pseudonym("api key", key), keyring.pseudonym("client", client_id)
    with database.writing() as connection:
        data_key = keyring.of_clients(connection, [client])[client]
        body = seal(data_key.cipher, to_json({"client_id": client_id, "agent": agent, "shown": key[-4:]}), f"api key {ref.hex()}")
        row = {"ref": ref, "client": client, "role": str(role), "tokens_per_day": tokens_per_day, "created": time.time()}
        connection.execute(api_keys.insert().values(**row, key_id=data_key.id, body=body))
        database.record(connection, "API key added", client=client.hex(), role=str(role))
    return key


def remove(database: Database, shown: str) -> int:
    """Remove the keys that end with `shown`, 4 or more characters; returns how many there were."""
    database.require(Operation.MANAGE_KEYS)
    gone = [key for key in listed(database) if len(shown) >= 4 and shown.endswith(key.shown)]
    with database.writing() as connection:
        for key in gone:
            connection.execute(api_keys.delete().where(api_keys.c.ref == key.ref))
            database.record(connection, "API key removed", client=database.keyring.pseudonym("client", key.client_id).hex())
    return len(gone)


def listed(database: Database) -> list[ApiKey]:
    """All keys, oldest first."""
    database.require(Operation.CHECK_KEYS)
    with database.reading() as connection:
        rows = connection.execute(sa.select(api_keys).order_by(api_keys.c.created)).all()
        ciphers = database.keyring.opener(connection, {row.key_id for row in rows})
    found = []
    for row in rows:
        said = from_json(unseal(ciphers[row.key_id], row.body, f"api key {bytes(row.ref).hex()}"))
        found.append(ApiKey(bytes(row.ref), said["client_id"], said["agent"], KeyRole(row.role), row.tokens_per_day, said["shown"]))
    return found
