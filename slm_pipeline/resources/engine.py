"""llama.cpp in a process beside this one: one base, at most one adapter, greedy completions under a JSON schema.

One engine never sees two adapters: llama.cpp reuses cached prompts across them, which mixes their answers. Prompts are asked
one after the other, in an order that the prompts alone fix: decoded side by side, the same prompt would now and then get
another answer.
"""

import json
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NoReturn

from slm_pipeline.records import Json
from slm_pipeline.tool_use.calls import Tool, write

CANONICAL = {"x-guidance": {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}}
"""Makes llguidance, llama.cpp's grammar engine, write JSON as `render_answer` does; left free, untuned models waste tokens on space.
A schema that says it otherwise has its way."""


@dataclass(frozen=True)
class Completion:
    """What the model wrote, and what it took; `latency_ms` is wall time from request to last token. `log_probs`: of each token that it
    wrote, before a schema took others away, in nats; empty unless asked for. ended: whether it ended by itself, not at its limit."""

    text: str
    prompt_tokens: int
    tokens: int
    latency_ms: float
    log_probs: tuple[float, ...] = ()
    ended: bool = True


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen: the likeliest one at `temperature` 0, else drawn, the same for the same `seed`."""

    temperature: float = 0.0
    seed: int = 0


class Model(ABC):
    """What answers prompts, wherever it runs: under a schema, with tools. Use it in a `with` block."""

    parallel = 1
    """How many prompts it is asked side by side."""
    embedded = False
    """Whether it takes this machine's memory."""

    def __enter__(self) -> "Model":
        return self

    @abstractmethod
    def __exit__(self, *exc: object) -> None:
        """Take it down, or leave it to others."""

    @property
    @abstractmethod
    def alive(self) -> bool:
        """Whether it can be asked; may wait for a server."""

    def complete(
        self,
        prompts: Sequence[str],
        schemas: Sequence[Json | None],
        max_tokens: int,
        on_done: Callable[[], None] = lambda: None,
        tools: Sequence[Collection[Tool]] | None = None,
    ) -> list[Completion]:
        """Answer each prompt greedily, under its schema if it has one, with the tools it was granted; raises RuntimeError with
        llama.cpp's message.

        Prompts are asked in alphabetical order, so that those that begin alike share what was computed for their beginning.
        """
        completions: dict[int, Completion] = {}
        for i in sorted(range(len(prompts)), key=lambda i: prompts[i]):
            granted = tools[i] if tools else ()
            completions[i] = (
                self._with_tools(prompts[i], schemas[i], max_tokens, granted)
                if granted
                else self._complete(prompts[i], schemas[i], max_tokens)
            )
            on_done()
        return [completions[i] for i in range(len(prompts))]

    def answer(
        self, prompt: str, schema: Json | None, max_tokens: int, tools: Collection[Tool] = (), how: Sampling | None = None
    ) -> Completion:
        """Answer one prompt, with the tools that it was granted and log-probabilities; raises RuntimeError as `complete` does."""
        how = how or Sampling()
        if tools:
            return self._with_tools(prompt, schema, max_tokens, tools, how)
        return self._complete(prompt, schema, max_tokens, how=how)

    def say(self, prompt: str, max_tokens: int, heard: Callable[[str], None]) -> Completion:
        """Answer one prompt greedily in text, and tell every piece of it as it is written; raises RuntimeError as `complete` does."""
        start, pieces, told, usage, ended = perf_counter(), [], [], {}, True
        body: Json = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "logprobs": 1, "stream": True}
        with closing(self._stream(body)) as replies:
            for reply in replies:
                usage = _accepted(reply).get("usage") or usage
                for choice in reply["choices"]:
                    told += _log_probs(choice)
                    ended = choice["finish_reason"] != "length"
                    if choice["text"]:
                        pieces.append(choice["text"])
                        heard(choice["text"])
        elapsed = (perf_counter() - start) * 1000
        return Completion("".join(pieces), usage["prompt_tokens"], usage["completion_tokens"], elapsed, tuple(told), ended)

    def _with_tools(
        self, prompt: str, schema: Json | None, max_tokens: int, tools: Collection[Tool], how: Sampling | None = None
    ) -> Completion:
        start = perf_counter()
        asked: list[Completion] = []

        def ask(written: str, schema: Json | None, stop: list[str], limit: int) -> tuple[str, int]:
            asked.append(self._complete(prompt + written, schema, limit, stop, how))
            return asked[-1].text, asked[-1].tokens

        text, tokens = write(ask, schema, tools, max_tokens)
        told = tuple(value for completion in asked for value in completion.log_probs)
        return Completion(text, asked[0].prompt_tokens, tokens, (perf_counter() - start) * 1000, told, asked[-1].ended)

    def _complete(
        self, prompt: str, schema: Json | None, max_tokens: int, stop: Sequence[str] = (), how: Sampling | None = None
    ) -> Completion:
        body: Json = {"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "stop": list(stop)}
        if how is not None:
            body |= {"temperature": how.temperature, "seed": how.seed, "logprobs": 1}
        if schema is not None:
            body |= self._held(schema)
        start = perf_counter()
        reply = _accepted(self._ask(body))
        usage = reply["usage"]
        elapsed = (perf_counter() - start) * 1000
        choice = reply["choices"][0]
        ended = choice["finish_reason"] != "length"
        return Completion(choice["text"], usage["prompt_tokens"], usage["completion_tokens"], elapsed, _log_probs(choice), ended)

    @abstractmethod
    def _held(self, schema: Json) -> Json:
        """What of a request holds an answer to a schema."""

    @abstractmethod
    def _ask(self, body: Json) -> Json:
        """The reply to a request in the form of OpenAI's completions; raises RuntimeError where nobody replies."""

    @abstractmethod
    def _stream(self, body: Json) -> Generator[Json]:
        """The replies to a request of a stream, as they come, to be closed; raises RuntimeError as `_ask` does."""


class Engine(Model):
    """llama.cpp with a model. `context` is the room in tokens for one prompt and its answer. `keeps_prompts`: what the next prompt begins
    alike with the last one is not computed again."""

    embedded = True

    def __init__(self, gguf: Path, adapter: Path | None, context: int, keeps_prompts: bool = True):
        self._model = gguf
        # what was kept of an earlier conversation may hold answers: the activated adapter has no part in those that now are prompts
        self._keeps_prompts = keeps_prompts and (adapter is None or not _activated(adapter))
        arguments = [str(gguf), str(context), *([str(adapter)] if adapter else [])]
        command = [sys.executable, "-m", "slm_pipeline.resources.llama_process", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        """Of the process that holds the model."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def __exit__(self, *exc: object) -> None:
        with self._process:
            self._process.stdin.close()

    def _held(self, schema: Json) -> Json:
        return {"grammar": f"%llguidance {{}}\nstart: %json {json.dumps(CANONICAL | schema)}"}

    def _ask(self, body: Json) -> Json:
        self._request(body)
        return self._reply()

    def _stream(self, body: Json) -> Generator[Json]:
        self._request(body)
        replies = iter(self._reply, None)
        try:
            yield from replies
        finally:
            for _ in replies:  # what was not waited for is no reply to the next request
                pass

    def _request(self, body: Json) -> None:
        try:
            self._process.stdin.write(json.dumps(body | {"cache_prompt": self._keeps_prompts}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            self._gone()

    def _reply(self) -> Json | None:
        line = self._process.stdout.readline()
        return json.loads(line) if line else self._gone()

    def _gone(self) -> NoReturn:
        raise RuntimeError(f"llama.cpp with {self._model} ended with exit code {self._process.wait()}; what it wrote before says why.")


def _accepted(reply: Json) -> Json:
    """The reply, if it is one to the prompt; raises RuntimeError with llama.cpp's message."""
    if "choices" not in reply:
        raise RuntimeError(f"a prompt was refused: {reply.get('error', reply)}")
    return reply


def _log_probs(choice: Json) -> tuple[float, ...]:
    """As llama.cpp writes them, or as vLLM does."""
    told = choice.get("logprobs") or {}
    return tuple(told.get("token_logprobs") or (token["logprob"] for token in told.get("content", ())))


def _activated(adapter: Path) -> bool:
    """Whether a GGUF adapter acts on answers only (activated LoRA)."""
    from gguf import GGUFReader, Keys

    return Keys.Adapter.ALORA_INVOCATION_TOKENS in GGUFReader(adapter).fields
