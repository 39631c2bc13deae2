"""Envelope encryption: every client's records under a data key of its own, data keys wrapped by the master key.

AES-256-GCM throughout (NIST SP 800-38D), a random 96-bit nonce before each ciphertext. What a record belongs to is
authenticated with it, so that sealed content cannot be moved to another row. Erasing a data key erases its client.
"""

import hashlib
import hmac
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from slm_pipeline.s1_collect.master_key import SIZE, MasterKey, MasterKeyError, key_id
from slm_pipeline.s1_collect.schema import data_keys, meta, system_keys

NONCE = 12
CACHED = 10_000  # unwrapped data keys kept in memory
MASTER = "master_key"  # the row of `meta` that names the current master key


@dataclass(frozen=True)
class DataKey:
    id: int
    cipher: AESGCM


def seal(cipher: AESGCM, plain: bytes, label: str) -> bytes:
    """Compress and encrypt; `label` says what it is and must be given again to open it."""
    nonce = os.urandom(NONCE)
    return nonce + cipher.encrypt(nonce, zlib.compress(plain, 1), label.encode())


def unseal(cipher: AESGCM, sealed: bytes, label: str) -> bytes:
    """Undo `seal`. Raises cryptography's InvalidTag if content or label were changed."""
    return zlib.decompress(cipher.decrypt(sealed[:NONCE], sealed[NONCE:], label.encode()))


class Keyring:
    """The keys of one log, unwrapped on demand and kept in memory."""

    def __init__(self, connection: sa.Connection, master: MasterKey):
        self._master, self._loaded = master, master.load()
        self._ciphers: OrderedDict[int, AESGCM] = OrderedDict()
        found = {row.name: self._unwrap(row.master, row.wrapped, row.name) for row in connection.execute(sa.select(system_keys))}
        self._pseudonyms, self.audit_key = found["pseudonyms"], found["audit"]

    def pseudonym(self, kind: str, value: str) -> bytes:
        """16 bytes that stand for an id of some kind; only this log's key leads from the id to them."""
        return hmac.digest(self._pseudonyms, f"{kind}\0{value}".encode("utf-8", "replace"), hashlib.sha256)[:16]

    def fingerprint(self, plain: bytes) -> bytes:
        """8 bytes by which equal contents are known without opening them."""
        return hmac.digest(self._pseudonyms, plain, hashlib.sha256)[:8]

    def of_clients(self, connection: sa.Connection, clients: Iterable[bytes]) -> dict[bytes, DataKey]:
        """The data keys of clients (pseudonyms), made where there is none; inside a writing transaction."""
        clients = set(clients)
        rows = connection.execute(sa.select(data_keys).where(data_keys.c.client.in_(clients)))
        keys = {bytes(row.client): DataKey(row.id, self._cipher(row)) for row in rows}
        for client in clients - keys.keys():
            keys[client] = self._make(connection, client)
        return keys

    def opener(self, connection: sa.Connection, key_ids: Iterable[int]) -> dict[int, AESGCM]:
        """The ciphers of data keys by id; those of erased clients are absent."""
        rows = connection.execute(sa.select(data_keys).where(data_keys.c.id.in_(set(key_ids))))
        return {row.id: self._cipher(row) for row in rows}

    def rotate(self, connection: sa.Connection) -> bytes:
        """Wrap every key anew under a fresh master key, inside a writing transaction; returns it. No content is rewritten."""
        new = self._master.replacement()
        name = key_id(new)
        for table, label in ((data_keys, "client"), (system_keys, "name")):
            for row in connection.execute(sa.select(table)).all():
                plain = self._unwrap(row.master, row.wrapped, getattr(row, label))
                identity = next(iter(table.primary_key))
                changed = {"master": name, "wrapped": _wrap(new, plain, getattr(row, label))}
                connection.execute(table.update().where(identity == row[0]).values(changed))
        connection.execute(meta.update().where(meta.c.name == MASTER).values(value=name))
        return new

    def _cipher(self, row: sa.Row) -> AESGCM:
        if row.id not in self._ciphers:
            self._ciphers[row.id] = AESGCM(self._unwrap(row.master, row.wrapped, row.client))
            if len(self._ciphers) > CACHED:
                self._ciphers.popitem(last=False)
        return self._ciphers[row.id]

    def _make(self, connection: sa.Connection, client: bytes) -> DataKey:
        plain, master = os.urandom(SIZE), connection.execute(sa.select(meta.c.value).where(meta.c.name == MASTER)).scalar_one()
        wrapped = _wrap(self._master_key(master), plain, client)
        connection.execute(data_keys.insert().values(client=client, master=master, wrapped=wrapped))
        # read back instead of RETURNING: a cached cipher must belong to the row that is there
        row = connection.execute(sa.select(data_keys).where(data_keys.c.client == client)).one()
        return DataKey(row.id, self._cipher(row))

    def _master_key(self, name: str) -> bytes:
        if name not in self._loaded:
            self._loaded = self._master.load()  # it was rotated meanwhile
        if name not in self._loaded:
            raise MasterKeyError(f"This log is sealed with master key {name}, which is not the one given ({', '.join(self._loaded)}).")
        return self._loaded[name]

    def _unwrap(self, master: str, wrapped: bytes, label: bytes | str) -> bytes:
        try:
            return AESGCM(self._master_key(master)).decrypt(wrapped[:NONCE], wrapped[NONCE:], _label(label))
        except InvalidTag as error:
            raise MasterKeyError("A wrapped key was tampered with: it does not open under its master key.") from error


def create_keys(connection: sa.Connection, master: bytes) -> None:
    """The keys of a new log that belong to no client."""
    name = key_id(master)
    rows = [{"name": key, "master": name, "wrapped": _wrap(master, os.urandom(SIZE), key)} for key in ("pseudonyms", "audit")]
    connection.execute(system_keys.insert(), rows)
    connection.execute(meta.insert().values(name=MASTER, value=name))


def _wrap(master: bytes, plain: bytes, label: bytes | str) -> bytes:
    nonce = os.urandom(NONCE)
    return nonce + AESGCM(master).encrypt(nonce, plain, _label(label))


def _label(label: bytes | str) -> bytes:
    return b"data key " + (label.encode() if isinstance(label, str) else label)
