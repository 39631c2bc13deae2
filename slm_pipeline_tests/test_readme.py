"""Every command that the README shows in a `sh` block runs, on a tiny model; the set-up by `make` is `scripts/fresh_clone.sh`'s."""

import gzip
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from slm_pipeline.prices import read_prices
from slm_pipeline.settings import Settings
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base, tool_calls

README = Path(__file__).parent.parent / "README.md"
ELSEWHERE = {
    "make demo": "scripts/fresh_clone.sh",
    "make test": "scripts/fresh_clone.sh",
    "make up": "test_web_server.py",
    "slm up": "test_web_server.py",
    "slm serve": "gateway/conftest.py",
}


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_readme_shows_commands():
    assert {"make demo", "make test", "slm run", "slm status"} <= set(commands())


def test_every_configuration_that_is_shown_is_valid():
    upstreams, slms = re.findall(r"^```toml\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    assert [upstream.name for upstream in Settings(**tomllib.loads(upstreams)).upstreams] == ["cluster", "openai"]
    assert [server.groups for server in Settings(**tomllib.loads(slms)).slm_servers]


def test_the_price_that_is_shown_is_one(tmp_path):
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    (tmp_path / "prices.yaml").write_text(shown)
    (price,) = read_prices(Settings(home=tmp_path))["my-llm"]
    assert (price.input, price.output) == (1.2, 4)


@pytest.mark.timeout(900)
def test_every_command_runs(home, monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    (home / "my_calls.jsonl.gz").write_bytes(gzip.compress("\n".join(tool_calls()).encode()))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for command in commands():
        if command in ELSEWHERE or command.startswith("source "):
            continue
        words = shlex.split(command)
        if words[:3] == ["slm", "bench", "train"] and not _installed("trl"):
            continue
        assert shutil.which(words[0], path=environment["PATH"]), command
        done = subprocess.run(words, cwd=home, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
        if words[:2] == ["slm", "bench"]:
            assert json.loads(done.stdout.splitlines()[-1])["n"] > 0


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None
