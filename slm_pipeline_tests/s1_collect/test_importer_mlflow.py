"""Traces that MLflow's own tracing writes, read from a running tracking server."""

import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from rich.console import Console

from slm_pipeline.imports import import_file
from slm_pipeline.records import Answer, target_of
from slm_pipeline.s1_collect.importers import BadLine, mlflow_traces, read_calls
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s1_collect import forms

WRITES = """
import json, sys
import mlflow
from mlflow.entities import SpanType

server, calls = sys.argv[1], json.load(sys.stdin)
mlflow.set_tracking_uri(server)

def log(experiment, kind, inputs, outputs, name, session=None):
    mlflow.set_experiment(experiment)
    with mlflow.start_span(name, span_type=SpanType.AGENT) as root:
        mlflow.update_current_trace(metadata={"mlflow.trace.user": "mara"} | ({"mlflow.trace.session": session} if session else {}))
        with mlflow.start_span("search", span_type=SpanType.RETRIEVER) as span:
            span.set_inputs({"query": "x"})
        with mlflow.start_span(kind, span_type=SpanType.CHAT_MODEL) as span:
            span.set_inputs(inputs)
            if outputs is None:
                span.record_exception(RuntimeError("rate limited"))
            else:
                span.set_outputs(outputs)
    mlflow.flush_trace_async_logging()
    return root.trace_id

ids = [log("orders", "Completions", *call, name="orders", session="s1" if n == 2 else None) for n, call in enumerate(calls["chat"])]
log("notes", "AsyncMessages.create", *calls["anthropic"], name="notes")
log("notes", "Completions", calls["chat"][0][0], None, name="notes")
mlflow.log_feedback(trace_id=ids[0], name="user-feedback", value=False)
mlflow.log_expectation(trace_id=ids[2], name="expected_response", value="In every size.")
print("written")
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A tracking server with the calls of `forms` as traces: chat in the experiment `orders`, Anthropic in `notes`."""
    home, port = tmp_path_factory.mktemp("mlflow"), free_port()
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    store = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--default-artifact-root", str(home / "artifacts")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([*command, *store], env=os.environ | quiet, cwd=home, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not answers(url):
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.3)
        calls = {
            "chat": [(forms.canonical(n)["request"], forms.completion(n)) for n in range(3)],
            "anthropic": (forms.anthropic_body(1), forms.anthropic_message(1)),
        }
        written = subprocess.run(
            [sys.executable, "-c", WRITES, url], input=json.dumps(calls), env=os.environ | quiet, cwd=home, capture_output=True, text=True
        )
        assert "written" in written.stdout, written.stderr
        yield url
    finally:
        process.terminate()
        process.wait(30)


def answers(url):
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def test_chat_traces_of_an_experiment(server):
    first, second, third = read_calls(f"{server}?experiment=orders")
    assert [call.request["messages"] for call in (first, second, third)] == forms.ASKED
    assert first.request["tools"] == [forms.TOOL]
    assert first.response["choices"][0]["message"]["tool_calls"] == [forms.CALL]
    assert first.response["usage"] == forms.usage(0)
    assert {(call.agent, call.client_id) for call in (first, second, third)} == {("orders", "mara")}
    assert first.session_id == second.session_id != third.session_id == "s1"
    assert all(call.latency_ms >= 0 for call in (first, second, third))
    assert first.outcome["success"] is False
    assert target_of(third).source == "gold"
    assert target_of(third).answer == Answer("In every size.")


def test_anthropic_traces_and_failed_calls(server):
    call, bad = read_calls(f"{server}?experiment=notes")
    assert [message["role"] for message in call.request["messages"]] == ["system", "user", "assistant", "tool"]
    assert call.response["usage"]["prompt_tokens"] == 80
    assert isinstance(bad, BadLine)
    assert "the call has no answer" in bad.reason


def test_without_a_name_all_experiments_are_read_page_by_page(server, monkeypatch):
    monkeypatch.setattr(mlflow_traces, "PAGE", 1)
    items = list(read_calls(server))
    assert len([item for item in items if not isinstance(item, BadLine)]) == 4
    shown = list(read_calls(f"{server}/#/experiments/1/traces"))
    assert len([item for item in shown if not isinstance(item, BadLine)]) == 3


def test_importing_a_server_twice_adds_nothing(server, home):
    console = Console(file=io.StringIO(), width=200)
    url = f"{server}?experiment=orders"
    assert import_file(url, get_settings(), console)[0].added == 3
    assert import_file(url, get_settings(), console)[0].repeated == 3
    assert f"{url}: 3 added, 0 known already, 0 bad" in console.file.getvalue()


def test_an_unknown_experiment_is_named(server):
    with pytest.raises(ValueError, match="no experiment 'nobody'"):
        list(read_calls(f"{server}?experiment=nobody"))


def test_a_server_that_is_not_there_is_named_at_once():
    with pytest.raises(ConnectionError, match="No MLflow server answers"):
        list(read_calls(f"http://127.0.0.1:{free_port()}"))


def test_exported_traces_are_read_from_a_file(server, tmp_path):
    traces = list(mlflow_traces.traces_of(f"{server}?experiment=orders"))
    (tmp_path / "traces.json").write_text(json.dumps({"traces": traces}, indent=1))
    assert [call.id for call in read_calls(tmp_path / "traces.json")] == [call.id for call in read_calls(f"{server}?experiment=orders")]
