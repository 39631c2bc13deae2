"""`slm up` as a user has it: real servers on loopback, asked over HTTP, stopped by Ctrl-C."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import psutil
import pytest

from slm_pipeline_tests.test_definitions import ASSETS, SCHEDULES, SENSORS, graph

QUERY = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  assetNodes { assetKey { path } assetChecksOrError { ... on AssetChecks { checks { name } } } }
  jobs { name }
  sensors { name sensorState { status } }
  schedules { name scheduleState { status } }
} } } }"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(folder, ignored=None, **environment):
    """`slm up` with its state in `folder`; a signal `ignored` by whoever starts it."""
    ports = {name: str(free_port()) for name in ("SLM_GATEWAY_PORT", "SLM_DAGSTER_PORT", "SLM_MLFLOW_PORT")}
    state = {"SLM_HOME": str(folder), "SLM_DAGSTER_HOME": str(folder / "dagster"), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "slm_pipeline.cli", "up"],
        env=os.environ | ports | state | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=ignored and (lambda: signal.signal(ignored, signal.SIG_IGN)),
    )


def stop(process):
    """Ctrl-C, unless it has ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def read_until(process, text):
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return "".join(lines)
    pytest.fail("".join(lines))


def gone(processes):
    return not psutil.wait_procs(processes, timeout=30)[1]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    # as a script's `slm up &` starts it: Ctrl-C's signal is ignored unless it is asked for
    process = start(tmp_path_factory.mktemp("state"), ignored=signal.SIGINT)
    printed = read_until(process, "Ctrl-C")
    yield process, re.findall(r"http://\S+", printed)
    stop(process)


def get(url, body=None):
    request = urllib.request.Request(url, body and json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return response.read().decode()


@pytest.fixture(scope="module")
def repository(running):
    _, (_, _, dagster, _) = running
    return json.loads(get(f"{dagster}/graphql", {"query": QUERY}))["data"]["repositoriesOrError"]["nodes"][0]


def test_all_printed_addresses_answer(running):
    _, (gateway, dashboard, dagster, mlflow) = running
    assert gateway.endswith("/v1")
    assert json.loads(get(gateway.removesuffix("/v1") + "/readyz"))["status"] == "ready"
    assert "No release serves" in get(dashboard)
    assert "dagster" in get(dagster).lower()
    assert "mlflow" in get(mlflow).lower()


def test_every_asset_and_check_is_served(repository):
    assert {asset["assetKey"]["path"][-1] for asset in repository["assetNodes"]} == set(ASSETS)
    checks = {asset["assetKey"]["path"][-1]: asset["assetChecksOrError"]["checks"] for asset in repository["assetNodes"]}
    served = {(asset, check["name"]) for asset, found in checks.items() for check in found}
    assert served == {(key.asset_key.path[-1], key.name) for key in graph.asset_check_keys}


def test_every_sensor_and_schedule_runs(repository):
    assert {s["name"]: s["sensorState"]["status"] for s in repository["sensors"]} == dict.fromkeys(SENSORS, "RUNNING")
    assert {s["name"]: s["scheduleState"]["status"] for s in repository["schedules"]} == dict.fromkeys(SCHEDULES, "RUNNING")


def test_a_port_in_use_is_named_with_its_setting(running, tmp_path):
    _, (_, _, dagster, _) = running
    process = start(tmp_path, SLM_DAGSTER_PORT=dagster.rsplit(":", 1)[1])
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "SLM_DAGSTER_PORT" in printed


def test_ctrl_c_stops_everything(running):
    process, _ = running
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 6
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert gone(children)


def test_nothing_outlives_a_kill(tmp_path):
    process = start(tmp_path)
    up, children = psutil.Process(process.pid), []
    while len(children) < 3:  # the watchdog and the first servers, one of them with a child of its own
        children = up.children(recursive=True)
        time.sleep(0.2)
    process.kill()
    process.wait()
    assert gone(children)
