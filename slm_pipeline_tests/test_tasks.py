"""`slm tasks`, as a user runs it, over a lake that holds three agents' calls of two days."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from slm_pipeline.cli import app
from slm_pipeline.lake import Lake
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster.assignment import assign_calls
from slm_pipeline.s3_cluster.refresh import refresh_clusters
from slm_pipeline.s3_cluster.traffic import day_traffic
from slm_pipeline.settings import get_settings
from slm_pipeline.tasks import ASSIGNMENTS, spark
from slm_pipeline_tests.s3_cluster import traffic as made

DAYS = ["2026-10-01", "2026-10-02"]


def slm(*arguments):
    return CliRunner().invoke(app, ["tasks", *arguments])


def listed():
    return {row["name"]: row for row in json.loads(slm("--json").output)}


def pipeline(lake):
    """What a run does about tasks."""
    clusters = refresh_clusters(lake, get_settings())[0].json("clusters")
    for day in DAYS:
        calls = lake.read(CURATED, day).table("calls")
        assigned = assign_calls(calls, clusters)
        lake.write(ASSIGNMENTS, day, {"assignments": assigned, "traffic": day_traffic(calls, assigned)})


@pytest.fixture
def lake(tmp_path, monkeypatch):
    for name, value in {"HOME": tmp_path, "MIN_TASK_CALLS": 6, "OWN_GROUP_CALLS": 24, "MIN_GROUP_CALLS": 20}.items():
        monkeypatch.setenv(f"SLM_{name}", str(value))
    lake = Lake(str(tmp_path / "lake"))
    calls = pd.concat([made.traffic(), made.table(made.tool_rows("garden", 3))], ignore_index=True)
    calls = calls.assign(tokens=pd.array([100] * len(calls), dtype="Int64"), cost=0.01)
    for i, day in enumerate(DAYS):
        lake.write(CURATED, day, {"calls": calls.iloc[i::2].assign(day=day)})
    pipeline(lake)
    return lake


def test_without_tasks_it_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    result = slm()
    assert result.exit_code == 1
    assert "slm run" in result.output


def test_the_list_holds_all_calls_of_all_splits(lake):
    rows = listed()
    assert sum(row["calls"] for row in rows.values()) == 183
    assert rows["no task"]["calls"] == 3
    assert rows["booking agent"]["growth"] == [20, 20]
    assert rows["booking agent"]["tokens"] == 4000
    assert rows["booking agent"]["cost"] == pytest.approx(0.4)
    assert rows["get heat"]["state"] == "in a group"
    assert sum(row["calls_share"] for row in rows.values()) == pytest.approx(1)
    shown = slm().output
    assert rows["get heat"]["key"] in shown
    assert "booking agent" in shown


def test_one_task_is_shown_with_redacted_examples_and_without_its_template(lake):
    key = next(row["key"] for row in listed().values() if "text" in row["actions"] and len(row["actions"]) == 1)
    shown = slm("show", key).output
    assert "own group" in shown
    assert "Template" in shown
    asked = [line for line in shown.splitlines() if line.startswith("Asked")]
    assert len(asked) == 3
    assert not any("Example" in line for line in asked)


def test_renaming_takes_effect_with_the_next_run_and_is_undone(lake):
    key = listed()["booking agent"]["key"]
    told = slm("rename", key, "journeys")
    assert "slm run" in told.output
    assert "from the next run on" in slm().output
    pipeline(lake)
    assert listed()["journeys"]["key"] == key
    assert "in force" in slm().output
    assert slm("undo", "1").exit_code == 0
    pipeline(lake)
    assert listed()["booking agent"]["key"] == key


def test_excluded_pinned_and_back(lake):
    key = listed()["booking agent"]["key"]
    assert slm("exclude", key).exit_code == slm("pin", key).exit_code == 0
    pipeline(lake)
    assert listed()["booking agent"]["state"] == "excluded, pinned"
    assert slm("include", key).exit_code == slm("unpin", key).exit_code == 0
    pipeline(lake)
    assert listed()["booking agent"]["state"] == "own group"


def test_merged_and_split(lake):
    rows = listed()
    heat, light, booking = rows["get heat"]["key"], rows["get light"]["key"], rows["booking agent"]["key"]
    refused = slm("merge", heat, light)
    assert refused.exit_code == 1
    assert "other tools" in refused.output
    assert slm("split", booking).exit_code == 0
    again = slm("split", booking)
    assert again.exit_code == 1
    assert f"no task '{booking}'" in again.output
    pipeline(lake)
    parts = [row for row in listed().values() if row["state"].endswith("split")]
    assert sum(row["calls"] for row in parts) == 40
    assert {row["name"] for row in parts} == {"booking agent, first calls", "booking agent, later calls"}


def test_an_unknown_key_names_near_ones(lake):
    key = listed()["booking agent"]["key"]
    result = slm("pin", "booking-agent")
    assert result.exit_code == 1
    assert f"Did you mean {key}" in result.output
    assert slm("show", "booking-agent").exit_code == 1


def test_bars_are_relative_to_the_busiest_day():
    assert spark([0, 1, 50, 100]) == "·▁▄█" or spark([0, 1, 50, 100]) == "·▁▅█"
    assert spark([]) == ""
