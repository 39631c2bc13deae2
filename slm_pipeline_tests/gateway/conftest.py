"""A running gateway in front of the recorded upstream."""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s6_refine.rollout import Rollout, write_rollout
from slm_pipeline.settings import Settings
from slm_pipeline_tests.gateway.recorded_upstream import RecordedUpstream, eventually, recorded_upstream
from slm_pipeline_tests.gateway.released import make_release, newest, until_served
from slm_pipeline_tests.test_whole_loop import SETTINGS

START_SECONDS = 60


@dataclass
class RunningGateway:
    """`slm serve` as a process, its log, and the upstream behind it."""

    url: str
    process: subprocess.Popen
    settings: Settings
    upstream: RecordedUpstream | None = None
    keys: dict[str, str] = field(default_factory=dict)

    def calls(self) -> list[AgentCall]:
        """What the log holds, oldest first, once nothing waits for it any more."""
        deadline = time.monotonic() + 10
        while self.metric("slm_log_queue") and time.monotonic() < deadline:
            time.sleep(0.02)
        return [call for day in self._log.days() for call in self._log.read(day)]

    @cached_property
    def _log(self) -> CallLog:
        return CallLog(self.settings, Role.PIPELINE)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's values with these labels."""
        request = urllib.request.Request(f"{self.url}/metrics", headers=self._authorised())
        text = urllib.request.urlopen(request, timeout=10).read().decode()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        lines = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def _authorised(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys['admin']}"} if "admin" in self.keys else {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_gateway(home: Path, upstream: RecordedUpstream | None = None, **environment: str):
    """`slm serve` with its state in `home`; time-outs are short: connect 1 s, first token 1.5 s, total 4 s."""
    port = free_port()
    limits = {"connect_seconds": 1, "first_token_seconds": 1.5, "total_seconds": 4}
    url = f"{upstream.url}/v1" if upstream else "http://127.0.0.1:1/v1"
    upstreams = [{"name": api, "base_url": url, "api": api, **limits} for api in ("openai", "anthropic")]
    variables = {"SLM_HOME": str(home), "SLM_GATEWAY_PORT": str(port), "SLM_UPSTREAMS": json.dumps(upstreams)} | environment
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        settings = Settings()
    output = (home / "gateway.out").open("ab")
    process = subprocess.Popen(
        [sys.executable, "-m", "slm_pipeline.cli", "serve"], env=os.environ | variables, stdout=output, stderr=subprocess.STDOUT
    )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/healthz"):
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail("the gateway did not start:\n" + (home / "gateway.out").read_text())
            time.sleep(0.05)
        yield RunningGateway(f"http://127.0.0.1:{port}", process, settings, upstream)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        output.close()


def _answers(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=2).status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """One gateway and one upstream for all tests of a module."""
    with recorded_upstream() as upstream, running_gateway(tmp_path_factory.mktemp("gateway"), upstream) as running:
        yield running


@pytest.fixture(scope="session")
def released(tmp_path_factory):
    """A gateway in front of the recorded upstream, in a home whose release serves, without audits; its lake, and the release's name."""
    home = tmp_path_factory.mktemp("released")
    variables = SETTINGS | {"SLM_DAGSTER_HOME": str(home / "dagster"), "SLM_KEYS": str(home / "keys"), "SLM_AUDIT_SHARE": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (variables | {"SLM_HOME": str(home)}).items():
            patch.setenv(name, value)
        release = make_release(home)
    with recorded_upstream() as upstream, running_gateway(home, upstream, **variables) as gateway:
        yield gateway, Lake(str(home / "lake")), release


@pytest.fixture
def served(released):
    """The same, with that release in service and its engine running."""
    gateway, lake, release = released
    write_rollout(lake, Rollout().offered(release).promoted().promoted())
    assert eventually(lambda: until_served(gateway) and newest(gateway).route.release == release, 60), "the release before it still answers"
    gateway.upstream.requests.clear()
    return gateway, lake, release
