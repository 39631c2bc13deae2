"""An adapter on a server of SLMs with OpenAI's completions: vLLM, or llama.cpp's own server. It answers as an embedded engine does.

The server must list a model named after group and adapter (`served_name`); then nothing but this very adapter is asked. vLLM is told to
load it where it allows that while running, and where it can read the adapter's folder.
"""

import json
from collections.abc import Generator
from fnmatch import fnmatchcase
from pathlib import Path

import httpx2

from slm_pipeline.records import Json
from slm_pipeline.resources.engine import CANONICAL, Model
from slm_pipeline.settings import Settings, SlmServer

SECONDS = 120
"""For one answer; who asks may stop waiting sooner."""
LOOK_SECONDS = 2
"""For the list of models."""


def server_of(group: str, settings: Settings) -> SlmServer | None:
    """The server that answers for a group, the first one that names it; None: the embedded engine does."""
    return next((server for server in settings.slm_servers if any(fnmatchcase(group, pattern) for pattern in server.groups)), None)


def served_at(group: str, settings: Settings) -> str:
    """The address of that server; "" where the embedded engine answers."""
    server = server_of(group, settings)
    return server.base_url if server else ""


def served_name(group: str, adapter: str) -> str:
    """What an adapter, by the digest of its files, is called on a server."""
    return f"{group}-{adapter[:8]}"


class ServedModel(Model):
    """The adapter `name` on a server; `folder` holds its files. Raises RuntimeError if the server does not serve it, or is not there."""

    def __init__(self, server: SlmServer, name: str, folder: Path):
        headers = {"authorization": f"Bearer {server.api_key}"} if server.api_key else {}
        self._url, self._name = server.base_url.rstrip("/"), name
        self._client = httpx2.Client(headers=headers, timeout=SECONDS)
        self.parallel = server.parallel
        try:
            if name not in self._listed():
                self._client.post(f"{self._url}/load_lora_adapter", json={"lora_name": name, "lora_path": str(folder)})
            if name not in self._listed():
                raise RuntimeError(
                    f"the SLM server {self._url} serves no model named {name}: start vLLM with the serve.sh of `slm export --to vllm`, or "
                    f"with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; start llama-server with `--lora adapter.gguf --alias {name}`"
                )
        except httpx2.HTTPError as error:
            raise RuntimeError(f"the SLM server {self._url} cannot be reached: {type(error).__name__}") from None

    @property
    def alive(self) -> bool:
        try:
            return self._name in self._listed()
        except httpx2.HTTPError:
            return False

    def __exit__(self, *exc: object) -> None:
        self._client.close()

    def _listed(self) -> set[str]:
        reply = self._client.get(f"{self._url}/models", timeout=LOOK_SECONDS)
        if reply.status_code != httpx2.codes.OK:
            raise RuntimeError(f"the SLM server {self._url} answers {reply.status_code} for its models: mend its api_key_env or base_url")
        return {model["id"] for model in reply.json()["data"]}

    def _held(self, schema: Json) -> Json:
        # llama.cpp's server reads the first, vLLM the second
        return {
            "json_schema": CANONICAL | schema,
            "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}},
        }

    def _ask(self, body: Json) -> Json:
        # vLLM would put a token for the beginning before a prompt that is rendered already
        body = body | {"model": self._name, "add_special_tokens": False}
        try:
            reply = self._client.post(f"{self._url}/completions", json=body)
        except httpx2.HTTPError as error:
            raise RuntimeError(f"the SLM server {self._url} cannot be reached: {type(error).__name__}") from None
        return reply.json()

    def _stream(self, body: Json) -> Generator[Json]:
        body = body | {"model": self._name, "add_special_tokens": False, "stream_options": {"include_usage": True}}
        try:
            with self._client.stream("POST", f"{self._url}/completions", json=body) as reply:
                if reply.status_code != httpx2.codes.OK:
                    raise RuntimeError(f"the SLM server {self._url} answers {reply.status_code}")
                for line in reply.iter_lines():
                    if line.startswith("data: ") and line != "data: [DONE]":
                        yield json.loads(line.removeprefix("data: "))
        except httpx2.HTTPError as error:
            raise RuntimeError(f"the SLM server {self._url} cannot be reached: {type(error).__name__}") from None
