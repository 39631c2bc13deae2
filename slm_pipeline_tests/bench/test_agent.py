"""Trials are told from tasks, every call is asked in a fold that did not see its task, and the figures are those of the answers given."""

import json

import pandas as pd

from slm_pipeline.bench import agent
from slm_pipeline.bench._cross_validation import Fold
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
    return silent_for(rows)


def test_the_base_is_asked_again_where_its_prompts_or_what_it_is_shown_changed(home, monkeypatch, tmp_path):
    make_tiny_base(home)
    times = []
    monkeypatch.setattr("slm_pipeline.inference.ask_base", lambda rows, *_: times.append(1) or silent_for(rows))
    rows = pd.DataFrame({"id": ["a", "b"], "messages": ["Call 555", "Hi"], "full_messages": ["Call 555", "Hi"], "answer": ["x", "y"]})
    redacted = rows.replace("Call 555", "Call <PHONE>")
    for asked, shown in ((rows, rows), (rows, rows), (redacted, rows), (rows, redacted)):
        fold = Fold("fold 1", asked, shown.assign(split="train"))
        agent._ask_base("full", fold, {}, get_settings(), tmp_path)
    assert len(times) == 3


def silent_for(rows):
    return [Completion("", 1, 1, 1.0) for _ in rows["answer"]]
