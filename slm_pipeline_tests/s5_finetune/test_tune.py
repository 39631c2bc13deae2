"""A search begins with today's configuration, stops with its budget, goes on where it ended, and keeps only what is better."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from slm_pipeline.cli import app
from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune import tune as tuning
from slm_pipeline.s5_finetune.configuration import CONFIGURATION, configuration_of, default_configuration
from slm_pipeline.s5_finetune.tune import BudgetError, parse_budget, tune
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base

GROUP = "tiny-00000000"


@given(st.integers(0, 9), st.integers(0, 99), st.integers(0, 99))
def test_a_budget_is_the_sum_of_its_parts(hours, minutes, seconds):
    seconds += 1
    assert parse_budget(f"{hours}h{minutes}m{seconds}s") == 3600 * hours + 60 * minutes + seconds
    assert parse_budget(f"{minutes + 1}m") == 60 * (minutes + 1)


@pytest.mark.parametrize("text", ["", "15", "15 m", "m", "1.5h", "-3m", "15m later", "0s"])
def test_what_is_no_budget_is_told_what_one_is(text):
    with pytest.raises(BudgetError, match="say 90s, 15m"):
        parse_budget(text)


@pytest.fixture
def settings(home, monkeypatch):
    """A group of twelve examples on the tiny base; its default trains at a rate at which nothing is learned."""
    for name, value in {"EPOCHS": "1", "LORA_RANK": "4", "LEARNING_RATE": "2e-4", "LORA_UPPER_LAYERS": "0.3", "BATCH_SIZE": "4"}.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    make_tiny_base(home)
    lake = Lake(get_settings().lake)
    rows = [
        {
            "split": "validation" if i % 3 == 0 else "train",
            "task": "task",
            "form": "text",
            "messages": f'[{{"role": "user", "content": "say {i}"}}]',
            "full_messages": f'[{{"role": "user", "content": "please say {i}"}}]',
            "answer": str(i),
            "failed": False,
            "target_source": "gold",
            "day": "2026-10-01",
        }
        for i in range(12)
    ]
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": {"task": {"tools": None}}})
    lake.write("s4_select/selected_base", GROUP, {"selection": {"base": NAME}})
    return get_settings()


class Enough(KeyboardInterrupt):
    """What Ctrl-C does, after some trials."""


def search(settings, trials: int):
    seen = []

    def on_trial(row):
        seen.append(row)
        if len(seen) == trials:
            raise Enough

    return tune(GROUP, settings, 600, on_trial), seen


def test_a_search_keeps_the_best_and_the_next_one_goes_on(settings):
    default, lake = default_configuration(settings), Lake(settings.lake)
    found, seen = search(settings, 4)
    first = found["trials"][0]
    assert {name: first[name] for name in tuning.SEARCHED} == {name: getattr(default, name) for name in tuning.SEARCHED}
    assert found["today"] == first
    assert len(found["trials"]) == len(seen) == 4
    losses = [row["val_loss"] for row in found["trials"] if row["state"] == "complete"]
    assert found["best"]["val_loss"] == min(losses) < first["val_loss"]
    kept = lake.read(CONFIGURATION, GROUP)
    assert kept.json("trials") == found["trials"]
    assert configuration_of(GROUP, settings).rank == found["best"]["rank"]
    assert configuration_of(GROUP, settings).batch_size == default.batch_size, "what is not searched stays"

    again, _ = search(settings, 2)
    assert again["trials"][:4] == found["trials"]
    assert len(again["trials"]) == 6
    proposals = [tuple(row[name] for name in tuning.SEARCHED) for row in again["trials"]]
    assert len(set(proposals)) == 6, "what was tried is not proposed again"
    assert again["best"]["val_loss"] <= found["best"]["val_loss"]

    mlflow, experiment = tracking.client(settings), tracking.experiment_id(settings, GROUP)
    runs = mlflow.search_runs([experiment])
    parents = [run for run in runs if run.info.run_name == "tune"]
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 2
    assert {run.info.run_name for run in trials} == {f"trial {i}" for i in range(6)}
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(set(run.data.params) == set(tuning.SEARCHED) for run in trials)
    best = next(run for run in trials if run.info.run_name == f"trial {found['best']['trial']}")
    assert best.data.metrics["best_val_loss"] == found["best"]["val_loss"]
    assert min(m.value for m in mlflow.get_metric_history(best.info.run_id, "val_loss")) == found["best"]["val_loss"]


def test_where_the_settings_are_best_what_was_kept_goes(settings, monkeypatch):
    lake = Lake(settings.lake)
    worse = default_configuration(settings).json() | {"upper_layers": 0.1, "learning_rate": 2e-4}
    lake.write(CONFIGURATION, GROUP, {"configuration": worse, "trials": []})
    monkeypatch.setenv("SLM_LEARNING_RATE", "1e-2")
    monkeypatch.setenv("SLM_EPOCHS", "6")
    found, _ = search(get_settings(), 2)
    assert found["today"]["learning_rate"] == 2e-4, "today's configuration is what was kept"
    assert not found["kept"]
    assert configuration_of(GROUP, get_settings()) == default_configuration(get_settings())


def test_a_budget_ends_a_training_between_steps(settings, monkeypatch):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(tuning, "monotonic", lambda: next(now))
    rows = []

    def on_trial(row):
        rows.append(row)
        raise Enough

    found = tune(GROUP, settings, 25, on_trial)
    assert [row["state"] for row in rows] == ["out of time"]
    assert found["best"] is None
    assert Lake(settings.lake).read(CONFIGURATION, GROUP) is None
    again, _ = search(settings, 1)
    assert again["today"] is not None, "a trial that time cut off is tried again, first"


def test_the_command_prints_trials_and_a_table(settings):
    result = CliRunner().invoke(app, ["tune", GROUP, "--budget", "3s"])
    assert result.exit_code == 0, result.output
    assert "trial 0" in result.output
    assert "Learning rate" in result.output
    result = CliRunner().invoke(app, ["tune", GROUP, "--budget", "1s", "--json"])
    assert json.loads(result.stdout)["trials"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], f"There is no group 'nothing' with examples and a base; there are: {GROUP}."),
        ([GROUP, "--budget", "soon"], "'soon' is no budget"),
    ],
)
def test_what_cannot_be_searched_is_a_sentence(settings, arguments, said):
    result = CliRunner().invoke(app, ["tune", *arguments])
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output


def test_a_group_without_validation_examples_is_refused(settings):
    lake = Lake(settings.lake)
    written = lake.read("s3_cluster/task_examples", GROUP)
    table = written.table("examples")
    lake.write("s3_cluster/task_examples", GROUP, {"examples": table[table["split"] == "train"], "tasks": written.json("tasks")})
    with pytest.raises(tuning.NothingToTune, match="has no validation examples"):
        tune(GROUP, settings, 10, lambda row: None)
