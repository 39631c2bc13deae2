"""The master key: from the environment (`SLM_MASTER_KEY`), or in a file of its own, outside the repository and the log.

The file holds one base64 key per line, the newest first; there is a second line only while a rotation is going on.
"""

import base64
import binascii
import hashlib
import os
import sys

from slm_pipeline.settings import Settings

SIZE = 32  # bytes: AES-256


class MasterKeyError(RuntimeError):
    """The master key is missing or is not the one that this log was sealed with."""


class MasterKey:
    """Where the master key of the log `log_id` lies."""

    def __init__(self, settings: Settings, log_id: str):
        self._environment, self._next = settings.master_key, settings.next_master_key
        self.file = settings.keys / f"{log_id}.key"

    def load(self) -> dict[str, bytes]:
        """The keys by id, the newest first. Raises MasterKeyError."""
        if self._environment:
            given = [key for key in (self._next, self._environment) if key]
            return {key_id(key): key for key in (_decode(key.get_secret_value(), "SLM_MASTER_KEY") for key in given)}
        try:
            lines = self.file.read_text().split()
        except FileNotFoundError as error:
            mend = "Put its backup there, or give the key as SLM_MASTER_KEY. Without it nothing in this log can be read."
            raise MasterKeyError(f"The log's master key is not at {self.file}. {mend}") from error
        return {key_id(key): key for key in (_decode(line, str(self.file)) for line in lines)}

    def create(self) -> bytes:
        """The first master key of a new log."""
        if self._environment:
            return _decode(self._environment.get_secret_value(), "SLM_MASTER_KEY")
        key = os.urandom(SIZE)
        self._write([key])
        print(f"A master key was made: {self.file}. Back it up now: without it the call log cannot be read.", file=sys.stderr)
        return key

    def replacement(self) -> bytes:
        """The key to rotate to, already where `load` finds it. Raises MasterKeyError if the environment should hold it and does not."""
        if self._environment:
            if not self._next:
                mend = "set SLM_NEXT_MASTER_KEY to the new one (`openssl rand -base64 32` makes one) and run this again"
                raise MasterKeyError(f"The master key comes from SLM_MASTER_KEY: {mend}.")
            return _decode(self._next.get_secret_value(), "SLM_NEXT_MASTER_KEY")
        key = os.urandom(SIZE)
        self._write([key, *self.load().values()])
        return key

    def keep_only(self, key: bytes) -> None:
        """Forget all older keys; those in the environment are for the operator to take away."""
        if not self._environment:
            self._write([key])

    def _write(self, keys: list[bytes]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self.file.with_suffix(f".{os.getpid()}.new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(f"{base64.b64encode(key).decode()}\n" for key in keys))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.file)


def key_id(key: bytes) -> str:
    """A name for a master key that gives nothing of it away."""
    return hashlib.sha256(b"slm_pipeline master key" + key).hexdigest()[:16]


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != SIZE:
        raise MasterKeyError(f"{where} must hold {SIZE} bytes in base64; `openssl rand -base64 32` makes such a key.")
    return key
