"""Walks over JSON values, and over JSON that stands in a string, which keeps its spacing."""

import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from slm_pipeline.s2_curate.redact.fields import kind_by_key

OnText = Callable[[str, str], str]
ENVELOPE = {"role", "type", "name", "id", "tool_call_id", "model", "finish_reason", "object"}
CARD_DIGITS = range(13, 20)
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"(\s*:)?|-?\d[\d.eE+\-]*', re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?")


def walk(value: Any, on_text: OnText, on_key: Callable[[str], str], name: str = "", envelope: bool = False) -> Any:
    """The value with every text and telling number replaced by `on_text(text, key)`, every key by `on_key`.

    With `envelope` it is a message: role, name and ids stay, and so do all keys.
    """
    if isinstance(value, str):
        return on_text(value, name)
    if isinstance(value, list):
        return [walk(item, on_text, on_key, name, envelope) for item in value]
    if isinstance(value, dict):
        if envelope:
            return {k: v if k in ENVELOPE else walk(v, on_text, on_key, k, envelope) for k, v in value.items()}
        return {on_key(k): walk(v, on_text, on_key, k) for k, v in value.items()}
    if isinstance(value, bool) or value is None:
        return value
    plain = json.dumps(value)
    made = on_text(plain, name) if _telling(plain, name) else plain
    return value if made == plain else json.loads(made) if _NUMBER.fullmatch(made) else made


def walk_json(text: str, on_text: OnText, on_key: Callable[[str], str]) -> str:
    """JSON text walked over as `walk` does, and nothing else changed, spacing included: it stays valid, numbers stay numbers."""
    name = ""

    def replace(token: re.Match) -> str:
        nonlocal name
        if token[1] is None:
            made = on_text(token[0], name) if _telling(token[0], name) else token[0]
            return made if made == token[0] or _NUMBER.fullmatch(made) else json.dumps(made)
        value = _unquote(token[1])
        if token[2]:
            name = value
            made = on_key(value)
            return token[0] if made == value else json.dumps(made, ensure_ascii=token[0].isascii()) + token[2]
        made = on_text(value, name)
        return token[0] if made == value else json.dumps(made, ensure_ascii=token[0].isascii())

    return _TOKEN.sub(replace, text)


def _telling(number: str, name: str) -> bool:
    """Whether a number can be personal data: by its key, or because it is as long as a card's."""
    return len(number) in CARD_DIGITS or kind_by_key(name, number) is not None


def _unquote(text: str) -> str:
    return json.loads(f'"{text}"', strict=False) if "\\" in text else text


@lru_cache(maxsize=8192)
def is_json(text: str) -> bool:
    """Whether a text is a JSON object or array."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
