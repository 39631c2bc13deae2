"""Trials are told from tasks, every call is asked in a fold that did not see its task, and the figures are those of the answers given."""

import json

from slm_pipeline.bench import agent
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base, tool_calls


def test_trials_of_a_task_are_one_task():
    assert {agent.task_of(f"task7-trial{i}") for i in range(3)} == {"task7"}
    assert agent.task_of("task7") == "task7"
    assert agent.task_of("trial of patience") == "trial of patience"


def test_figures_of_a_perfect_adapter_and_a_silent_base(home, monkeypatch, tmp_path):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    calls = [json.loads(line) | {"session_id": f"task{i // 2}-trial{i % 2}"} for i, line in enumerate(tool_calls())]
    traffic = tmp_path / "calls.jsonl"
    traffic.write_text("\n".join(map(json.dumps, calls)))
    monkeypatch.setattr("slm_pipeline.inference.ask_adapter", lambda rows, *_: [Completion(a, 1, 1, 1.0) for a in rows["answer"]])
    monkeypatch.setattr("slm_pipeline.inference.ask_base", silent)
    figures = agent.measure(get_settings(), traffic)
    assert figures["n"] == figures["calls"] > 0
    assert (figures["next_adapter"], figures["call_adapter"], figures["next_base"], figures["call_base"]) == (1, 1, 0, 0)
    assert figures["call_gain_over_base_low"] == 1
    assert 0 < figures["next_majority"] <= 1
    assert figures["folds"] == 5


def silent(rows, shown, *_):
    """A base that says nothing, and is shown no trial of a task that it is asked."""
    assert not set(rows["session_id"].map(agent.task_of)) & set(shown["session_id"].map(agent.task_of))
    return [Completion("", 1, 1, 1.0) for _ in rows["answer"]]
