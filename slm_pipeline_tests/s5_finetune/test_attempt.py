"""What a killed training leaves behind is gone on with: one MLflow run, the same adapter."""

import os
import signal
import subprocess
import sys
import textwrap

import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.attempt import ADAPTER, ATTEMPT, fine_tune
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base

GROUP = "tiny-00000000"
KILLED = textwrap.dedent("""
    import os, signal
    from slm_pipeline.s5_finetune.attempt import fine_tune
    from slm_pipeline.settings import get_settings
    def kill(step, steps, loss):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
    fine_tune("tiny-00000000", get_settings(), "", kill)
""")


@pytest.fixture
def group(home, monkeypatch):
    for name, value in {"EPOCHS": "2", "LORA_RANK": "2", "CHECKPOINT_STEPS": "3", "BATCH_SIZE": "4"}.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    make_tiny_base(home)
    lake = Lake(get_settings().lake)
    rows = [
        {
            "split": "validation" if i % 5 == 0 else "train",
            "messages": f'[{{"role": "system", "content": "Task"}}, {{"role": "user", "content": "say {i}"}}]',
            "answer": str(i),
            "failed": False,
        }
        for i in range(20)
    ]
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "summary": {"failures_total": 0}})
    lake.write("s4_select/selected_base", GROUP, {"selection": {"base": NAME}})
    return lake


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

    untouched = settings.model_copy(update={"home": home / "other", "lake_url": None})
    (home / "other").mkdir()
    (home / "other" / "models").symlink_to(home / "models")
    other = Lake(untouched.lake)
    examples, selection = group.read("s3_cluster/task_examples", GROUP), group.read("s4_select/selected_base", GROUP)
    other.write("s3_cluster/task_examples", GROUP, {"examples": examples.table("examples"), "summary": examples.json("summary")})
    other.write("s4_select/selected_base", GROUP, {"selection": selection.json("selection")})
    twin, _ = fine_tune(GROUP, untouched, "", lambda *_: None)
    assert twin.digest == artefact.digest, "the same examples from an empty lake give another adapter"


def test_a_failed_example_changes_the_dataset(group):
    settings = get_settings()
    first, _ = fine_tune(GROUP, settings, "", lambda *_: None)
    table = group.read("s3_cluster/task_examples", GROUP).table("examples")
    table.loc[1, "failed"] = True
    group.write("s3_cluster/task_examples", GROUP, {"examples": table, "summary": {"failures_total": 1}})
    second, fresh = fine_tune(GROUP, settings, "", lambda *_: None)
    assert fresh
    assert second.json("training")["failures_seen"] == 1
    assert second.json("training")["dataset_digest"] != first.json("training")["dataset_digest"]
    assert tracking.challenger(settings, GROUP).version == "2"
    assert group.version(ADAPTER, GROUP, first.digest) is not None, "an older adapter may be the champion"
