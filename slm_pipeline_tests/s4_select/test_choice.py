"""Two real tiny bases: both are fine-tuned briefly, asked through llama.cpp, recorded in MLflow, and one is chosen."""

import json
import shutil

import dagster as dg
import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s4_select import assets
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s6_refine.samples import example
from slm_pipeline_tests.tiny import CATALOGUE, NAME, make_tiny_base

GROUP, TWIN = "say-a-number-0a1b2c3d", "tiny-twin"
TASKS = {"task": {"name": "say a number", "tools": None, "response_format": None, "system": None, "forms": ["text"]}}
SETTINGS = {
    "BASE_MODELS": json.dumps([NAME, TWIN]),
    "TRIAL_EXAMPLES": "8",
    "TRIAL_CALLS": "3",
    "PROBE_EXAMPLES": "2",
    "LORA_RANK": "2",
    "MAX_ANSWER_TOKENS": "8",
    "BASE_PROMPT_TOKENS": "256",
    "BOOTSTRAP_SAMPLES": "100",
}


@pytest.fixture
def lake(home, monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    folder = make_tiny_base(home)
    shutil.copytree(folder, folder.with_name(TWIN))
    twin = CATALOGUE.replace(NAME, TWIN).replace("params: 100000", "params: 90000")
    (home / "models" / "catalogue.yaml").write_text(CATALOGUE + twin)
    gold = {"task": "task", "target_source": "gold", "teacher_answer": None}
    asked = [json.dumps([{"role": "user", "content": f"say {i}"}]) for i in range(16)]
    rows = [
        example(i, "train" if i % 4 else "validation", str(i), "text", messages=said, full_messages=said, **gold)
        for i, said in enumerate(asked)
    ]
    lake = Lake(get_settings().lake)
    lake.write(assets.EXAMPLES, GROUP, {"examples": pd.DataFrame(rows), "tasks": TASKS})
    return lake


def select():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("group", [GROUP])
        result = dg.materialize([assets.candidate_models], instance=instance)
        assert result.success
        result = dg.materialize([assets.selected_base], partition_key=GROUP, instance=instance)
    return {key: value.value for key, value in result.asset_materializations_for_node("selected_base")[0].metadata.items()}


def test_the_cheaper_of_two_equal_bases_is_chosen_and_all_is_recorded(lake):
    shown, settings = select(), get_settings()
    selection = lake.read(assets.SELECTED, GROUP).json("selection")
    assert selection["base"] == TWIN == shown["base"], "the same weights, but the catalogue calls it smaller"
    assert selection["probe"]["name"] == TWIN
    assert {(p["name"], p["shots"]) for p in selection["ranked"]} == {(name, shots) for name in (NAME, TWIN) for shots in (0, 2)}
    one, other = selection["trials"]
    assert one["nats_per_byte"] == other["nats_per_byte"] > 0
    assert one["examples"] == other["examples"] == 8
    assert TWIN in shown["trials"]
    assert "It is the cheapest that passes" in shown["why"]

    mlflow, experiment = tracking.client(settings), tracking.experiment_id(settings, GROUP)
    runs = {run.info.run_name: run for run in mlflow.search_runs([experiment])}
    parent = runs.pop("choice of base")
    assert parent.data.tags["slm.chosen"] == TWIN
    assert set(runs) == {f"{NAME}, rung 1", f"{TWIN}, rung 1"}
    for run in runs.values():
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert {"nats_per_byte", "best_val_loss", "score", "seconds"} <= set(run.data.metrics)
    with tracking.attempt(settings, GROUP, {}, {}) as attempt:
        assert mlflow.get_run(attempt).info.run_name == "attempt 1", "trials are no attempts"
    assert tracking.challenger(settings, GROUP) is None

    assert select()["asked_again"] is False
