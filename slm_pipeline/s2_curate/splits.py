"""The split of a session: a keyed hash, so that it is fixed at first sight and no session is ever cut."""

import hashlib
import hmac

from slm_pipeline.records import Split

# upper bounds of the hash, as a share: 60 % training, 10 % validation, 10 % calibration, 20 % test
BOUNDS: tuple[tuple[float, Split], ...] = ((0.6, "train"), (0.7, "validation"), (0.8, "calibration"), (1.0, "test"))


def split_of(session_id: str, key: str) -> Split:
    """The split of all calls of a session. `key` is `settings.split_key`: with another key all splits differ."""
    hashed = hmac.digest(key.encode(), session_id.encode(), hashlib.sha256)
    share = int.from_bytes(hashed[:8], "big") / 2**64
    return next(split for bound, split in BOUNDS if share < bound or bound == 1.0)
