"""JSON bodies: read fast where they are strict, and still read where they are not."""

import json
from typing import Any

import orjson


def parse(data: bytes) -> Any:
    """The value of a JSON text. NaN, and halves of surrogate pairs, which JSON allows in escapes, are read too. Raises ValueError."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(data)
        # half a pair is nothing that can be stored
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError("not JSON that can be read: nested too deeply, or not UTF-8") from error
