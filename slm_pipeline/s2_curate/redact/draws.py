"""Draws that a key decides: the same value under the same key is always drawn alike, and without the key nothing leads back."""

import hashlib
import hmac
from collections.abc import Sequence


class Draw:
    """An endless stream of draws, seeded by HMAC-SHA256 of an identity and expanded by SHAKE-256."""

    def __init__(self, key: bytes, *identity: str):
        self._seed = hmac.digest(key, "\0".join(identity).encode("utf-8", "replace"), hashlib.sha256)
        self._stream, self._at = b"", 0

    def below(self, n: int) -> int:
        """A number in [0, n)."""
        if self._at + 4 > len(self._stream):
            self._stream = hashlib.shake_256(self._seed).digest(max(256, 2 * len(self._stream)))
        self._at += 4
        return int.from_bytes(self._stream[self._at - 4 : self._at], "big") % n

    def choice(self, pool: Sequence[str]) -> str:
        """One of the pool."""
        return pool[self.below(len(pool))]
