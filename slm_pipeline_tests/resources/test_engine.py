"""llama.cpp runs beside the process that asks it: its end is an error here, and ours is its end."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slm_pipeline.answers import answer_schema
from slm_pipeline.resources.engine import Engine
from slm_pipeline_tests.tiny import make_tiny_base

ASK_AND_WAIT = """
import sys, time
from pathlib import Path
from slm_pipeline.resources.engine import Engine
with Engine(Path(sys.argv[1]), None, 128) as engine:
    engine.complete(["hello"], [None], 4)
    print(engine._process.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home")) / "model.gguf"


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
    (tmp_path / "broken.gguf").write_bytes(b"GGUF is not this")
    with pytest.raises(RuntimeError, match=r"broken\.gguf"), Engine(tmp_path / "broken.gguf", None, 128) as engine:
        engine.complete(["hello"], [None], 4)


def test_a_refused_prompt_says_why_and_the_next_is_answered(gguf):
    with Engine(gguf, None, 128) as engine:
        with pytest.raises(RuntimeError, match="refused"):
            engine.complete(["word " * 500], [None], 4)
        assert engine.complete(["hello"], [None], 4)[0].tokens > 0


def test_text_that_shall_be_json_is_json_however_bad_the_model(gguf):
    form = {"type": "object", "properties": {"state": {"enum": ["open", "sent"]}}, "required": ["state"]}
    schema = answer_schema(None, {"json_compact"}, {"type": "json_schema", "json_schema": {"name": "order", "schema": form}})
    with Engine(gguf, None, 256) as engine:
        said = engine.complete([f"order {i}" for i in range(5)], [schema] * 5, 150)
    assert all(json.loads(completion.text)["state"] in ("open", "sent") for completion in said)


def test_it_ends_at_once_where_nothing_was_asked(gguf):
    with Engine(gguf, None, 128) as engine:
        process = engine._process
    assert process.returncode == 0


def test_it_ends_when_the_asking_process_is_killed(gguf):
    asking = subprocess.Popen([sys.executable, "-c", ASK_AND_WAIT, str(gguf)], stdout=subprocess.PIPE, text=True)
    pid = int(asking.stdout.readline())
    asking.kill()
    asking.wait()
    deadline = time.monotonic() + 30
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
