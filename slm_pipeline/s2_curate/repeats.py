"""Exact repeats of the whole call, known by 8-byte hashes: those of earlier days lie in the lake, so no call of theirs is read."""

import contextlib
import hashlib
import hmac
import json
from typing import Any
from unicodedata import normalize

import numpy as np

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import AgentCall, Json, Target

CURATED = "s2_curate/curated_calls"
FILE = "repeats.u64"  # sorted, little-endian
WHOLE_CALL = ("tools", "functions", "response_format")  # with messages and answer: what makes two calls repeats of each other


def call_hash(call: AgentCall, target: Target, key: str) -> int:
    """The keyed 64-bit hash of agent, request and target answer: equal for all spellings of one call.

    Spellings are: JSON arguments in another order or with other blanks, content as a string or as a list of text parts, blanks at
    the ends of lines, Unicode normal forms, and the ids that tie tool results to tool calls, which providers draw at random.
    """
    answer = [_text(target.answer.text), [[tool.name, _normal(tool.arguments)] for tool in target.answer.tool_calls]]
    numbers: dict[str, int] = {}
    asked = [_message(message, numbers) for message in call.request["messages"]]
    whole = [call.agent, asked, {name: call.request.get(name) or None for name in WHOLE_CALL}, answer]
    return int.from_bytes(hmac.digest(key.encode(), json.dumps(whole, sort_keys=True).encode(), hashlib.sha256)[:8], "big")


class EarlierDays:
    """The hashes of the days before a given one, read one day at a time: memory does not grow with history."""

    def __init__(self, lake: Lake):
        self._artefacts = {day: lake.read(CURATED, day) for day in lake.partitions(CURATED)}

    def digest(self, day: str) -> str:
        """Changes exactly when an earlier day's hashes do."""
        return digest(*((d, a.files[FILE]) for d, a in self._before(day)))

    def known(self, day: str, hashes: np.ndarray) -> np.ndarray:
        """Which of the hashes (uint64) some earlier day holds, as a boolean array of their length."""
        found = np.zeros(len(hashes), dtype=bool)
        for _, artefact in self._before(day):
            found |= np.isin(hashes, from_bytes(artefact.bytes(FILE)))
        return found

    def add(self, day: str, artefact: Artefact) -> None:
        """Take the new version of a day into account."""
        self._artefacts[day] = artefact

    def _before(self, day: str) -> list[tuple[str, Artefact]]:
        return [(d, artefact) for d, artefact in sorted(self._artefacts.items()) if d < day]


def to_bytes(hashes: np.ndarray) -> bytes:
    """The content of FILE: each hash once."""
    return np.unique(hashes).astype("<u8").tobytes()


def from_bytes(content: bytes) -> np.ndarray:
    """The hashes in FILE."""
    return np.frombuffer(content, dtype="<u8")


def _message(message: Json, numbers: dict[str, int]) -> Json:
    made = {key: value for key, value in message.items() if value not in (None, [], "")}
    if "content" in made:
        made["content"] = _content(made["content"])
    if isinstance(made.get("tool_calls"), list):
        made["tool_calls"] = [_tool_call(tool, numbers) for tool in made["tool_calls"]]
    if isinstance(made.get("tool_call_id"), str):
        made["tool_call_id"] = numbers.setdefault(made["tool_call_id"], len(numbers))
    return made


def _content(content: Any) -> Any:
    if isinstance(content, list) and all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
        content = "\n".join(part["text"] for part in content)
    return _normal(content)


def _tool_call(tool: Any, numbers: dict[str, int]) -> Any:
    if not isinstance(tool, dict) or not isinstance(function := tool.get("function"), dict):
        return tool
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        with contextlib.suppress(ValueError, RecursionError):
            arguments = json.loads(arguments or "{}")
    return {"id": numbers.setdefault(str(tool.get("id")), len(numbers)), "name": function.get("name"), "arguments": _normal(arguments)}


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _normal(child) for name, child in value.items()}
    if isinstance(value, list):
        return [_normal(child) for child in value]
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    normal = text if text.isascii() else normalize("NFC", text)
    return "\n".join(line.rstrip() for line in normal.split("\n")).rstrip()
