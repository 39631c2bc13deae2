"""`slm up`: the gateway, Dagster's web UI and daemon, and the MLflow server, on loopback, stopped together.

Each service is a process group of its own. A watchdog holds the other end of a pipe to this process and stops the
groups when it closes, so that nothing outlives even a `kill -9` of `slm up`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path

from rich.console import Console

from slm_pipeline.instance import open_instance, prepare_dagster_home, recover_dead_runs
from slm_pipeline.settings import Settings

START_SECONDS = 180
STOP_SECONDS = 20

_WATCHDOG = """
import os, signal, sys, time
groups = [int(line) for line in sys.stdin]
for how, wait in ((signal.SIGTERM, 5), (signal.SIGKILL, 0)):
    for group in groups:
        try:
            os.killpg(group, how)
        except ProcessLookupError:
            pass
    time.sleep(wait)
"""


class ServiceError(RuntimeError):
    """A service could not start, or ended on its own."""


def up(settings: Settings, console: Console) -> None:
    """Start all servers, print their URLs when they answer, and stop them on Ctrl-C or SIGTERM."""
    for name in ("gateway_port", "dagster_port", "mlflow_port"):
        _require_free(settings.gateway_host if name == "gateway_port" else settings.host, getattr(settings, name), name)
    instance = open_instance(settings)  # also creates the tables, which several processes at once would trip over
    recover_dead_runs(instance)
    logs = prepare_dagster_home(settings) / "servers"
    logs.mkdir(exist_ok=True)
    for stop in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: what a script starts in the background ignores it
        signal.signal(stop, signal.default_int_handler)
    try:
        with _services(logs) as start:
            code_port = str(free_port(settings.host))
            workspace = ["-w", str(_workspace(logs.parent, settings.host, code_port))]
            gateway = start("gateway", "slm_pipeline.cli", "serve")
            mlflow = start("mlflow", *_mlflow_command(settings))
            code = start("code", "dagster", "api", "grpc", "-h", settings.host, "-p", code_port, "-m", "slm_pipeline.definitions")
            _wait(code, lambda: _code_answers(settings.host, int(code_port)))
            web = start("web", "dagster_webserver", "-h", settings.host, "-p", str(settings.dagster_port), *workspace)
            daemon = start("daemon", "dagster._daemon", "run", *workspace)
            _wait(gateway, lambda: answers(f"{settings.gateway_url}/healthz"))
            _wait(web, lambda: answers(f"{settings.dagster_url}/server_info"))
            _wait(mlflow, lambda: answers(f"{settings.mlflow_url}/health"))
            servers = {
                "Gateway": f"{settings.gateway_url}/v1",
                "Dashboard": f"{settings.gateway_url}/dashboard",
                "Dagster": settings.dagster_url,
                "MLflow": settings.mlflow_url,
            }
            for name, url in servers.items():
                console.print(f"{name:<9}  {url}", highlight=False)
            console.print(f"Logs in {logs}. Ctrl-C stops everything.", highlight=False, soft_wrap=True)
            while True:
                for service in (gateway, mlflow, code, web, daemon):
                    _require_running(service)
                time.sleep(1)
    except KeyboardInterrupt:
        recover_dead_runs(instance)
        console.print("Stopped.")


def _workspace(folder: Path, host: str, port: str) -> Path:
    """Where the code server is, under a name that stays: cursors, run keys and retries are kept by the location's name."""
    file = folder / "workspace.yaml"
    file.write_text(f"load_from:\n  - grpc_server: {{host: {host}, port: {port}, location_name: slm_pipeline}}\n")
    return file


def _mlflow_command(settings: Settings) -> list[str]:
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    return [
        *("mlflow", "server", "--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"),
        *("--backend-store-uri", settings.mlflow_uri, "--default-artifact-root", str(settings.mlflow_artifacts), "--no-serve-artifacts"),
    ]


@contextmanager
def _services(logs: Path):
    """A function that starts a Python module as a service; all of them are stopped on the way out."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    watchdog = subprocess.Popen([sys.executable, "-I", "-S", "-c", _WATCHDOG], stdin=subprocess.PIPE, start_new_session=True, text=True)
    services: list[subprocess.Popen] = []

    def start(name: str, module: str, *arguments: str) -> subprocess.Popen:
        log = logs / f"{name}.log"
        with log.open("wb") as output:
            service = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=os.environ | quiet,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        service.log = log
        services.append(service)
        watchdog.stdin.write(f"{service.pid}\n")
        watchdog.stdin.flush()
        return service

    try:
        yield start
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of them running
        _stop(services)
        watchdog.kill()
        watchdog.wait()


def _stop(services: list[subprocess.Popen]) -> None:
    for how in (signal.SIGTERM, signal.SIGKILL):
        for service in services:
            with suppress(ProcessLookupError):
                os.killpg(service.pid, how)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and any(_group_lives(service) for service in services):
            time.sleep(0.1)


def _group_lives(service: subprocess.Popen) -> bool:
    service.poll()  # reaps it: a zombie would count as living
    try:
        os.killpg(service.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(service: subprocess.Popen, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        _require_running(service)
        if time.monotonic() > deadline:
            raise ServiceError(f"{service.log.stem} did not answer within {START_SECONDS} s; see {service.log}")
        time.sleep(0.3)


def _require_running(service: subprocess.Popen) -> None:
    if service.poll() is not None:
        tail = "\n".join(service.log.read_text(errors="replace").splitlines()[-15:])
        raise ServiceError(f"{service.log.stem} ended with exit code {service.returncode}:\n{tail}")


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _code_answers(host: str, port: int) -> bool:
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient

    try:
        return DagsterGrpcClient(host=host, port=port).ping("up")["echo"] == "up"
    except DagsterUserCodeUnreachableError:
        return False


def _require_free(host: str, port: int, setting: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        try:
            probe.bind((host, port))
        except OSError as error:
            mend = f"Choose another: SLM_{setting.upper()}=<port>, or {setting} in slm.toml."
            raise ServiceError(f"Port {port} on {host} is in use. {mend}") from error


def free_port(host: str) -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]
