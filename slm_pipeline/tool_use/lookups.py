"""Tools that a user grants: a Python function, a tool of an MCP server, or a search by HTTP. An SLM asks them while it writes.

They stand in `<home>/tools.yaml`, one row each:

    - {name: stock, pattern: 'article (\\d+)', file: stock.py}                       # <home>/tools/stock.py: def call(text)
    - {name: orders, pattern: 'order (\\w+)', mcp: 'http://127.0.0.1:9000/mcp', tool: find_order, argument: id}
    - {name: search, pattern: '(.+)', url: 'http://127.0.0.1:8888/search?q={}', field: results.0.content}

`pattern` says what of a prompt a tool can be asked: its first group, or the whole match. What is asked at run time is not redacted: it goes
to whom the row names.
"""

import json
import logging
import re
import urllib.parse
import urllib.request
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings
from slm_pipeline.user_process import UserProcess, run
from slm_pipeline.yaml_rows import read_rows

FILE = "tools.yaml"
WORD = re.compile(r"[^\W_]+(?:[.:-][^\W_]+)*")
MOST_BYTES = 1 << 20
log = logging.getLogger(__name__)


class ToolError(ValueError):
    """tools.yaml cannot be used, or a grant names a tool that is not there; says file, row and field."""


class Lookup(BaseModel):
    """One tool. `code` is the text of its file: an adapter keeps the tools that it was trained with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    pattern: str
    file: str | None = None
    code: str | None = None
    url: str | None = Field(None, pattern=r"^https?://[^{}]*\{\}[^{}]*$", description="{} stands for what is asked")
    field: str | None = Field(None, description="path in a JSON reply, with dots; None: the reply is text")
    mcp: str | None = Field(None, pattern=r"^https?://", description="Streamable HTTP")
    tool: str | None = None
    argument: str | None = None
    seconds: float = Field(5, gt=0, le=60)
    characters: int = Field(200, ge=1, le=2000, description="of a result that the SLM is told")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if sum(kind is not None for kind in (self.file, self.url, self.mcp)) != 1:
            raise ValueError("one of file, url and mcp is needed")
        if self.mcp and not (self.tool and self.argument):
            raise ValueError("mcp needs tool and argument")
        return self

    def asked_of(self, prompt: str) -> list[str]:
        """What of a prompt it can be asked, in order, each once."""
        found = (match[1] if match.re.groups else match[0] for match in re.finditer(self.pattern, prompt))
        return list(dict.fromkeys(text.strip() for text in found if text and _sayable(text.strip())))


def read_lookups(settings: Settings) -> dict[str, Lookup]:
    """The tools of `<home>/tools.yaml`, by name. Raises ToolError."""
    file = settings.home / FILE
    if not file.exists():
        return {}
    rows = read_rows(file, Lookup, ToolError)
    if any(row.mcp for row in rows) and find_spec("mcp") is None:
        raise ToolError(f"{file}: tools of MCP servers need a package that is not installed: pip install 'slm_pipeline[mcp]'")
    return {row.name: row.model_copy(update={"code": _code(settings.home / "tools" / row.file)}) if row.file else row for row in rows}


def look_up(lookup: Lookup, text: str) -> str | None:
    """What a tool says, in one line; None if it says nothing, fails, or takes too long. Never raises: the SLM then goes on by itself."""
    try:
        said = _function(lookup, text) if lookup.file else _search(lookup, text) if lookup.url else _mcp(lookup, text)
    except Exception as error:  # whatever a user's tool or its network has to say; its message may quote the prompt
        log.warning("tool %s failed: %s", lookup.name, type(error).__name__)
        return None
    line = " ".join((said or "").replace("<<", " ").replace(">>", " ").split())[: lookup.characters].strip()
    return line or None


def helpful(lookup: Lookup, prompt: str, answer: str) -> list[tuple[str, str]]:
    """What the tool is asked, and says, of a prompt, where the answer has a word of it that the prompt has not: a use worth learning
    (Schick et al. 2023, Toolformer, section 2, keeps calls that make the answer likelier)."""
    known, wanted = _words(prompt), _words(answer)
    found = [(text, said) for text in lookup.asked_of(prompt) if (said := _remembered(lookup, text))]
    return [(text, said) for text, said in found if (_words(said) & wanted) - known]


@lru_cache(maxsize=10_000)
def _remembered(lookup: Lookup, text: str) -> str | None:
    return look_up(lookup, text)


def _function(lookup: Lookup, text: str) -> str | None:
    reply = _process(lookup).ask({"text": text})
    if "error" in reply:
        raise ToolError(reply["error"])
    return reply["said"]


@lru_cache(maxsize=16)
def _process(lookup: Lookup) -> UserProcess:
    return UserProcess("slm_pipeline.tool_use.lookups", f"tools/{lookup.file}", lookup.code, lookup.seconds)


def _search(lookup: Lookup, text: str) -> str | None:
    request = urllib.request.Request(lookup.url.replace("{}", urllib.parse.quote(text, safe="")), headers={"accept": "application/json"})
    with urllib.request.urlopen(request, timeout=lookup.seconds) as response:
        body = response.read(MOST_BYTES).decode("utf-8", "replace")
    if lookup.field is None:
        return body
    value = json.loads(body)
    for step in lookup.field.split("."):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _mcp(lookup: Lookup, text: str) -> str | None:
    import asyncio

    from mcp import Client

    async def ask() -> str | None:
        async with Client(lookup.mcp, read_timeout_seconds=lookup.seconds) as client:
            result = await client.call_tool(lookup.tool, {lookup.argument: text})
        return None if result.is_error else "\n".join(part.text for part in result.content if part.type == "text")

    async def in_time() -> str | None:
        return await asyncio.wait_for(ask(), lookup.seconds)

    return asyncio.run(in_time())


def _words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text) if len(word) > 1 or word.isdigit()}


def _sayable(text: str) -> bool:
    return bool(text) and not re.search("[<>\n]", text)


def _code(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ToolError(f"{file}: {error.strerror}; a tool's file lies there") from None


def _loaded(module: ModuleType) -> Json:
    return {}


def _called(path: Path, module: ModuleType, asked: Json) -> Json:
    said = module.__dict__["call"](asked["text"])
    return {"said": None if said is None else str(said)}


if __name__ == "__main__":
    run("call(text)", _loaded, _called)
