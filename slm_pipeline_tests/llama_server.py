"""llama.cpp's own server with an adapter, as an operator would start it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

KEY = "secret-key"
PROGRAM = """
import sys, time, xllamacpp
gguf, adapter, context, port, alias, key = sys.argv[1:]
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.port, params.warmup = gguf, int(context), 1, int(port), False
params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
params.model_alias = {alias}
params.api_keys = [key]
server = xllamacpp.Server(params)
time.sleep(1000)
"""


@contextmanager
def llama_server(gguf: Path, adapter: Path, alias: str, context: int = 256, port: int = 0) -> Iterator[str]:
    """Its base URL, with the version; it asks for KEY, and serves base and adapter (GGUF files) under the name `alias`."""
    if not port:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [sys.executable, "-c", PROGRAM, str(gguf), str(adapter), str(context), str(port), alias, KEY]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _healthy(url):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"{url}/v1"
    finally:
        process.kill()
        process.wait()


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/health", timeout=1).status_code == httpx2.codes.OK
    except httpx2.HTTPError:
        return False
