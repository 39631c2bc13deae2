"""The peer of `slm bench gateway`: the AI gateway inside MLflow's tracking server, started for as long as it is measured."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from slm_pipeline.records import Json
from slm_pipeline.up import free_port

HOST = "127.0.0.1"
MODEL = "mock"
"""Name of the gateway's endpoint, and of the model that the upstream is asked for."""
START_SECONDS = 180

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_TRACE_SAMPLING_RATIO": "0",  # its OpenAI route traces every call, even of an endpoint without usage tracking
    "MLFLOW_GATEWAY_API_BASE_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_GATEWAY_API_BASE_ALLOW_PRIVATE_IPS": "true",  # otherwise it refuses an upstream on loopback
}
_OPTIONS = [
    *("--workers", "1", "--no-serve-artifacts", "--disable-security-middleware", "--secrets-cache-ttl", "300"),
    *("--uvicorn-opts", "--no-access-log --log-level warning"),
]
_OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # a proxy cannot reach our loopback


@contextmanager
def mlflow_gateway(upstream: str, folder: Path) -> Iterator[tuple[str, str]]:
    """MLflow's server with one gateway endpoint for an OpenAI-compatible upstream; yields (URL of its chat-completions route,
    model name to ask for).

    `upstream` is a base URL such as http://127.0.0.1:9001/v1; `folder` gets the server's SQLite store and log, and must hold none.
    The peer runs as fast as its options allow: its OpenAI passthrough route, which skips the schema work of its unified one;
    one uvicorn worker, with uvloop and httptools where they are installed; keys cached for as long as it permits; no usage
    tracking, traces, access log, host and CORS checks, telemetry or job runner. A stream's request gets
    `stream_options.include_usage` from it, hence one chunk more. Raises RuntimeError if it cannot be started.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    url = f"http://{HOST}:{free_port(HOST)}"
    log = folder / "mlflow.log"
    server = _start(url, folder, log)
    try:
        _wait(url, server, log)
        _create_endpoint(url, upstream)
        yield f"{url}/gateway/openai/v1/chat/completions", MODEL
    finally:
        # its store is scrap, and an orderly end would wait for open connections
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _start(url: str, folder: Path, log: Path) -> subprocess.Popen:
    inherited = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("MLFLOW_")}
    address = ["--host", HOST, "--port", url.rpartition(":")[2]]
    store = ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--default-artifact-root", str(folder / "artifacts")]
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *address, *store, *_OPTIONS],
            cwd=folder,  # Python would import what lies in ours
            env=inherited | _ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait(url: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with suppress(OSError), _OPEN(f"{url}/health", timeout=5):
            return
        if server.poll() is not None:
            last = log.read_text(errors="replace").strip().rpartition("\n")[2] or "it printed nothing"
            raise RuntimeError(f"MLflow's server cannot start here (exit code {server.returncode}): {last}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"MLflow's server did not answer within {START_SECONDS} s; see {log}")
        time.sleep(0.2)


def _create_endpoint(url: str, upstream: str) -> None:
    key = {"secret_name": MODEL, "secret_value": {"api_key": "none"}, "provider": "openai", "auth_config": {"api_base": upstream}}
    secret = _create(url, "secrets", key)["secret"]["secret_id"]
    definition = {"name": MODEL, "secret_id": secret, "provider": "openai", "model_name": MODEL}
    model = _create(url, "model-definitions", definition)["model_definition"]["model_definition_id"]
    models = [{"model_definition_id": model, "linkage_type": "PRIMARY", "weight": 1.0}]
    _create(url, "endpoints", {"name": MODEL, "model_configs": models, "usage_tracking": False})


def _create(url: str, what: str, body: Json) -> Json:
    address = f"{url}/api/3.0/mlflow/gateway/{what}/create"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    try:
        with _OPEN(request, timeout=60) as response:
            return json.load(response)
    except OSError as error:
        reason = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else error
        raise RuntimeError(f"MLflow's server made no gateway endpoint: POST {address}: {reason}") from error
