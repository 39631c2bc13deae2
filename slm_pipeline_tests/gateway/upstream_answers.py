"""What the recorded upstream says, whichever API it is asked by: the same words for the same question, every time."""

import hashlib
import json
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

Json = dict[str, Any]

SIZES = (1, 5, 2, 4, 3)  # of the pieces of a stream: they split words, numbers and escape sequences
SLOW = "tick " * 30  # 50 pieces
FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ann@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
}


@dataclass
class Asked:
    """A request, free of its API's form."""

    model: str
    text: str  # the last user message
    results: list[str] = field(default_factory=list)  # of tools, where the request ends with them
    tools: dict[str, Json] = field(default_factory=dict)  # name -> schema of its arguments
    forced: str | None = None  # the tool to be called
    parallel: bool = True
    schema: Json | None = None  # of the answer


@dataclass
class Said:
    text: str = ""
    calls: list[tuple[str, str, str]] = field(default_factory=list)  # id, name, arguments in JSON
    reasoning: str = ""

    @property
    def tokens(self):
        return sum(len(pieces(text)) for text in (self.text, self.reasoning, *(arguments for _, _, arguments in self.calls)))


def answer(asked: Asked, choice: int = 0) -> Said:
    said = Said(reasoning=f"The user wants: {asked.text}" if asked.model.startswith("reasoner") else "")
    if asked.tools and not asked.results:
        names = [asked.forced] if asked.forced else list(asked.tools)[: 2 if asked.parallel else 1]
        said.calls = [(digest(asked.text, name, choice, i), name, argument(asked, name)) for i, name in enumerate(names)]
    elif asked.schema is not None:
        said.text = dumps(example(asked.schema, asked.text))
    elif asked.results:
        said.text = f"The tools answered: {'; '.join(asked.results)}"
    else:
        said.text = SLOW if asked.model == "slow-stream" else f"You said: {asked.text}"
        said.text += f" ({choice + 1})" if choice else ""
    return said


def argument(asked: Asked, name: str) -> str:
    return dumps(example(asked.tools[name], asked.text))


def example(schema: Json, text: str, root: Json | None = None):
    """A value that fits `schema`; its strings are `text`."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], text, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    for union in ("anyOf", "oneOf", "allOf"):
        if union in schema:
            return example(schema[union][0], text, root)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(part, text, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example(schema.get("items", {"type": "string"}), text, root)] * max(1, schema.get("minItems", 1))
    if kind == "string":
        return FORMATS.get(schema.get("format"), text.ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength", 60)])
    return {"integer": schema.get("minimum", 3), "number": schema.get("minimum", 1.5), "boolean": True}.get(kind)


def pieces(text: str) -> list[str]:
    """`text` in the pieces in which it is streamed."""
    found, sizes = [], cycle(SIZES)
    while text:
        size = next(sizes)
        found.append(text[:size])
        text = text[size:]
    return found


def digest(*parts) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def dumps(value) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def tokens(value) -> int:
    """How many tokens a prompt has."""
    return 1 + len(dumps(value)) // 4


def texts(content) -> str:
    """The text of a message's content; a part that is no text is named."""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] if "text" in part else f"[{part.get('type')}]" for part in content or ())


def trailing(items: list[Json], wanted) -> list[Json]:
    """The items at the end of `items` that are `wanted`."""
    found = []
    for item in reversed(items):
        if not wanted(item):
            break
        found.insert(0, item)
    return found


def last(items: list[Json], wanted) -> Json:
    return next((item for item in reversed(items) if wanted(item)), {})


def event(data: Json) -> str:
    """One server-sent event with its type as name, as Anthropic and the Responses API send them."""
    return f"event: {data['type']}\ndata: {dumps(data)}\n\n"
