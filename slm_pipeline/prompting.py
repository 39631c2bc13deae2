"""Turns messages into the very text a base model reads: one path for training, evaluation, lm-eval and serving."""

import json
from functools import lru_cache
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

from slm_pipeline.records import Json


@lru_cache(maxsize=8)
def _template(folder: Path):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((folder / "chat_template.jinja").read_text()), special_tokens(folder)


@lru_cache(maxsize=8)
def special_tokens(folder: Path) -> dict[str, str]:
    """The base's special tokens by role: bos_token, eos_token, pad_token."""
    config = json.loads((folder / "tokenizer_config.json").read_text())
    return {name: config[name] for name in ("bos_token", "eos_token", "pad_token") if isinstance(config.get(name), str)}


def render_prompt(messages: list[Json], folder: Path) -> str:
    """The prompt up to where the assistant's answer starts, as the chat template of the base in `folder` writes it."""
    template, tokens = _template(folder)
    return template.render(messages=messages, add_generation_prompt=True, **tokens)


@lru_cache(maxsize=8)
def answer_header(folder: Path) -> str:
    """What the chat template of the base in `folder` writes between a conversation and the assistant's answer to it."""
    template, tokens = _template(folder)
    asked = [{"role": "user", "content": "?"}]
    before, whole = (template.render(messages=asked, add_generation_prompt=wanted, **tokens) for wanted in (False, True))
    return whole.removeprefix(before)


@lru_cache(maxsize=8)
def tokenizer(folder: Path):
    """The fast tokenizer of the base in `folder`; loads no torch."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def token_ids(text: str, folder: Path) -> list[int]:
    """Token ids of `text`, special tokens recognised, none added."""
    return tokenizer(folder).encode(text, add_special_tokens=False).ids


def fit_messages(messages: list[Json], folder: Path, budget: int) -> tuple[list[Json], bool]:
    """Shorten a conversation to at most `budget` prompt tokens; returns the messages and whether anything was cut.

    A system message stays; then the oldest messages go, and if the last alone is too long, it keeps its end: what an agent asks
    stands there. If the system message leaves no room for anything, it keeps its end as well.
    """

    def excess(messages: list[Json]) -> int:
        return len(token_ids(render_prompt(messages, folder), folder)) - budget

    if excess(messages) <= 0:
        return messages, False
    first = int(messages[0]["role"] == "system" and len(messages) > 1)
    head, rest = messages[:first], messages[first:]
    while len(rest) > 1 and excess(head + rest) > 0:
        rest = rest[1:]
    if (over := excess(head + rest)) > 0:
        rest = [_end_of(rest[0], over, folder)]
    if head and (over := excess(head + rest)) > 0:
        head = [_end_of(head[0], over, folder)]
    return head + rest, True


def _end_of(message: Json, over: int, folder: Path) -> Json:
    """A message without its first `over` tokens, and a few more: cut elsewhere, a text can have more tokens."""
    offsets = tokenizer(folder).encode(message["content"], add_special_tokens=False).offsets
    start = offsets[min(over + 8, len(offsets) - 1)][0] if offsets else 0
    return {**message, "content": message["content"][start:]}
