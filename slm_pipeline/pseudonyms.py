"""What stands for a name in everything that is made of the log: the same name always gives the same, and nobody reads it back."""

import hashlib
import hmac


def pseudonym(kind: str, name: str, key: str) -> str:
    """A keyed hash of a name, behind what kind of name it is."""
    return f"{kind}-{hmac.new(key.encode(), name.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:16]}"
