"""Streams put together again: the answer that the same call would have had without `stream`."""

from typing import Any

import orjson

from slm_pipeline.records import Json

_REPLACED = ("role", "id", "type", "name", "index", "finish_reason", "model", "created", "object", "system_fingerprint", "service_tier")


class ChatStream:
    """OpenAI chat completions: deltas by choice, tool calls by index; unknown fields are joined like known ones."""

    def __init__(self):
        self._top: Json = {}
        self._choices: dict[int, Json] = {}
        self.error: Json | None = None

    def feed(self, chunk: Json) -> None:
        """Take one event's object."""
        if chunk.get("error"):
            self.error = chunk["error"] if isinstance(chunk["error"], dict) else {"message": str(chunk["error"])}
            return
        self._top |= {key: value for key, value in chunk.items() if key != "choices" and (value is not None or key not in self._top)}
        for choice in _dicts(chunk.get("choices")):
            index = choice.get("index", 0)
            made = self._choices.setdefault(index if isinstance(index, int) else 0, {"message": {}})
            _merge(made["message"], choice.get("delta"))
            _merge(made, {key: value for key, value in choice.items() if key != "delta"})

    @property
    def finished(self) -> bool:
        """Whether every choice said why it ended."""
        return bool(self._choices) and all(choice.get("finish_reason") for choice in self._choices.values())

    @property
    def begun(self) -> bool:
        return bool(self._choices)

    def response(self) -> Json:
        """The chat completion so far."""
        choices = [_completed(index, choice) for index, choice in sorted(self._choices.items())]
        return self._top | {"object": "chat.completion", "choices": choices}


class MessageStream:
    """Anthropic messages: content blocks by index."""

    def __init__(self):
        self._message: Json = {}
        self._blocks: dict[int, Json] = {}
        self._inputs: dict[int, str] = {}
        self.finished = False
        self.error: Json | None = None

    def feed(self, event: Json) -> None:
        """Take one event's object."""
        kind, index, delta = event.get("type"), event.get("index"), event.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        if kind == "message_start" and isinstance(event.get("message"), dict):
            self._message |= event["message"]
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            self._blocks[index] = dict(event["content_block"])
        elif kind == "content_block_delta" and index in self._blocks:
            if isinstance(delta.get("partial_json"), str):
                self._inputs[index] = self._inputs.get(index, "") + delta["partial_json"]
            else:
                _merge(self._blocks[index], {key: value for key, value in delta.items() if key != "type"})
        elif kind == "message_delta":
            self._message |= delta
            if isinstance(event.get("usage"), dict):
                self._message["usage"] = (self._message.get("usage") or {}) | event["usage"]
        elif kind == "message_stop":
            self.finished = True
        elif kind == "error":
            self.error = event.get("error") if isinstance(event.get("error"), dict) else {"message": "the upstream reported an error"}

    @property
    def begun(self) -> bool:
        return bool(self._message)

    def response(self) -> Json:
        """The message so far."""
        blocks = []
        for index, block in sorted(self._blocks.items()):
            blocks.append(block | ({"input": _object(self._inputs[index])} if index in self._inputs else {}))
        return self._message | {"content": blocks}


class ResponseStream:
    """OpenAI's Responses API: its last event carries the whole response."""

    def __init__(self):
        self._response: Json = {}
        self._items: dict[Any, Json] = {}
        self.finished = False
        self.error: Json | None = None

    def feed(self, event: Json) -> None:
        """Take one event's object."""
        kind = event.get("type")
        if isinstance(event.get("response"), dict):
            self._response = event["response"]
        if kind == "response.output_item.done" and isinstance(event.get("item"), dict):
            self._items[event.get("output_index")] = event["item"]
        if kind in ("response.completed", "response.incomplete"):
            self.finished = True
        if kind in ("response.failed", "error"):
            said = self._response.get("error") or event
            self.error = said if isinstance(said, dict) else {"message": str(said)}

    @property
    def begun(self) -> bool:
        return bool(self._response)

    def response(self) -> Json:
        """The response so far."""
        return self._response if self.finished else self._response | {"output": list(self._items.values())}


def _merge(into: Json, delta: object) -> None:
    """Add a delta: texts and lists grow, objects are merged, list items that have an index by that."""
    for key, value in delta.items() if isinstance(delta, dict) else ():
        old = into.get(key)
        if value is None:
            into.setdefault(key, None)
        elif isinstance(value, str) and isinstance(old, str) and key not in _REPLACED:
            into[key] = old + value
        elif isinstance(value, dict):
            into[key] = old if isinstance(old, dict) else {}
            _merge(into[key], value)
        elif isinstance(value, list):
            into[key] = _joined(old if isinstance(old, list) else [], value)
        else:
            into[key] = value


def _joined(old: list, new: list) -> list:
    for item in new:
        index = item.get("index") if isinstance(item, dict) else None
        if index is None:
            old.append(item)
            continue
        there = next((other for other in old if isinstance(other, dict) and other.get("index") == index), None)
        if there is None:
            old.append(there := {"index": index})
        _merge(there, item)
    return old


def _completed(index: int, choice: Json) -> Json:
    message = {"role": "assistant", "content": None} | choice["message"]
    if isinstance(message.get("tool_calls"), list):
        calls = sorted(_dicts(message["tool_calls"]), key=lambda call: call.get("index", 0))
        message["tool_calls"] = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    return choice | {"index": index, "message": message}


def _dicts(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _object(text: str) -> object:
    try:
        return orjson.loads(text) if text else {}
    except ValueError:
        return text
