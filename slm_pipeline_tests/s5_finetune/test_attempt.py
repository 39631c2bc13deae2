"""What a killed training leaves behind is gone on with: one MLflow run, the same adapter."""

import os
import signal
import subprocess
import sys

import pytest

from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.attempt import ADAPTER, ATTEMPT, NothingToLearn, fine_tune
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.conftest import GROUP, KILLED, TASKS, elsewhere


def test_a_killed_attempt_is_gone_on_with(group, home):
    settings = get_settings()
    killed = subprocess.run([sys.executable, "-c", KILLED], env=os.environ, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    mlflow = tracking.client(settings)
    experiment = tracking.experiment_id(settings, GROUP)
    (left,) = mlflow.search_runs([experiment])
    assert left.info.status == "RUNNING"

    steps = []
    artefact, fresh = fine_tune(GROUP, settings, "", lambda step, total, loss: steps.append(step))
    assert fresh
    assert steps[0] == 7, "went on after the checkpoint of step 6"
    (run,) = mlflow.search_runs([experiment])
    assert run.info.run_id == left.info.run_id
    assert run.info.status == "FINISHED"
    assert len(mlflow.get_metric_history(run.info.run_id, "train_loss")) == 8
    assert group.read(ATTEMPT, GROUP).json("attempt")["mlflow_run_id"] == run.info.run_id
    assert not list(settings.checkpoints.glob("*/*")), "nothing is left to go on with"

    again, fresh = fine_tune(GROUP, settings, "", lambda *_: pytest.fail("trained again on the same examples"))
    assert not fresh
    assert again.digest == artefact.digest

    untouched = elsewhere(group, home / "other")
    twin, _ = fine_tune(GROUP, untouched, "", lambda *_: None)
    assert twin.digest == artefact.digest, "the same examples from an empty lake give another adapter"


def test_a_group_without_validation_examples_is_trained(group):
    table = group.read("s3_cluster/task_examples", GROUP).table("examples")
    training = table[table["split"] == "train"]
    group.write("s3_cluster/task_examples", GROUP, {"examples": training, "tasks": TASKS, "summary": {"failures_total": 0}})
    artefact, _ = fine_tune(GROUP, get_settings(), "", lambda *_: None)
    training = artefact.json("training")
    assert training["params"]["validation_examples"] == "0"
    assert 0 < training["best_loss"] < training["curves"][0]["train_loss"]


def test_a_group_whose_answers_are_all_too_long_says_what_to_change(group, monkeypatch):
    monkeypatch.setenv("SLM_MAX_ANSWER_TOKENS", "1")
    with pytest.raises(NothingToLearn, match="longer than 1 tokens, which SLM_MAX_ANSWER_TOKENS raises"):
        fine_tune(GROUP, get_settings(), "", lambda *_: None)
    assert group.read(ADAPTER, GROUP) is None


def test_a_failed_example_changes_the_dataset(group):
    settings = get_settings()
    first, _ = fine_tune(GROUP, settings, "", lambda *_: None)
    table = group.read("s3_cluster/task_examples", GROUP).table("examples")
    table.loc[1, "failed"] = True
    group.write("s3_cluster/task_examples", GROUP, {"examples": table, "tasks": TASKS, "summary": {"failures_total": 1}})
    second, fresh = fine_tune(GROUP, settings, "", lambda *_: None)
    assert fresh
    assert second.json("training")["failures_seen"] == 1
    assert second.json("training")["dataset_digest"] != first.json("training")["dataset_digest"]
    assert tracking.challenger(settings, GROUP).version == "2"
    assert group.version(ADAPTER, GROUP, first.digest) is not None, "an older adapter may be the champion"
