"""The audit trail: who did what to the log, each entry chained to the one before by a keyed hash.

A changed, removed or inserted entry breaks the chain (as in Schneier and Kelsey, "Secure audit logs to support computer
forensics", 1999, section 3); cutting off the end is seen by the sealed head. Entries name clients by pseudonym only.
"""

import hashlib
import hmac
import json
import time
from dataclasses import dataclass

import sqlalchemy as sa

from slm_pipeline.records import Json
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s1_collect.schema import audit, audit_head

_START = bytes(32)


class Tampered(ValueError):
    """The trail is not as it was written; the message says from which entry on."""


@dataclass(frozen=True)
class Entry:
    seq: int
    at: float
    role: str
    action: str
    detail: Json


def record(connection: sa.Connection, key: bytes, role: Role, action: str, detail: Json) -> None:
    """Append an entry; inside a writing transaction."""
    last = connection.execute(sa.select(audit.c.seq, audit.c.mac).order_by(audit.c.seq.desc()).limit(1)).one_or_none()
    seq, previous = (last.seq + 1, bytes(last.mac)) if last else (1, _START)
    row = {"seq": seq, "at": time.time(), "role": str(role), "action": action, "detail": json.dumps(detail, sort_keys=True)}
    mac = _mac(key, previous, row)
    connection.execute(audit.insert().values(**row, mac=mac))
    connection.execute(audit_head.update().values(head=_head(key, seq, mac)))


def create_trail(connection: sa.Connection, key: bytes) -> None:
    """The head of an empty trail."""
    connection.execute(audit_head.insert().values(head=_head(key, 0, _START)))


def entries(connection: sa.Connection) -> list[Entry]:
    """All entries, oldest first."""
    rows = connection.execute(sa.select(audit).order_by(audit.c.seq)).all()
    return [Entry(row.seq, row.at, row.role, row.action, json.loads(row.detail)) for row in rows]


def verify(connection: sa.Connection, key: bytes, noted: str | None = None) -> tuple[int, str]:
    """The number of entries and the head, a short text to note elsewhere. Raises Tampered.

    A head `noted` earlier must still be in the chain: so even a whole database put back to an older state is seen.
    """
    seq, previous, heads = 0, _START, set()
    for row in connection.execute(sa.select(audit).order_by(audit.c.seq)).all():
        fields = {name: getattr(row, name) for name in ("seq", "at", "role", "action", "detail")}
        if row.seq != seq + 1:
            raise Tampered(f"Entry {seq + 1} is missing: entry {row.seq} follows entry {seq}.")
        if not hmac.compare_digest(_mac(key, previous, fields), bytes(row.mac)):
            raise Tampered(f"Entry {row.seq} is not what was written, or an entry before it was taken away.")
        seq, previous = row.seq, bytes(row.mac)
        heads.add(_head(key, seq, previous))
    head = connection.execute(sa.select(audit_head.c.head)).scalar_one_or_none()
    if head != _head(key, seq, previous):
        raise Tampered(f"The trail ends with entry {seq}, but that is not where it ended: later entries were taken away.")
    if noted is not None and noted not in heads:
        raise Tampered(f"The head {noted} is not in the trail: it was put back to an older state, or this is another log.")
    return seq, head


def _mac(key: bytes, previous: bytes, row: Json) -> bytes:
    return hmac.digest(key, previous + json.dumps(row, sort_keys=True).encode(), hashlib.sha256)


def _head(key: bytes, seq: int, mac: bytes) -> str:
    return f"{seq}:{hmac.digest(key, b'head' + seq.to_bytes(8, 'big') + mac, hashlib.sha256).hex()[:32]}"
