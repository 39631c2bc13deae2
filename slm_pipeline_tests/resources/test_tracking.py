"""Runs end as promised, aliases move as promised, and only small things are stored: on a real SQLite store."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest

from slm_pipeline.resources import tracking
from slm_pipeline.settings import Settings

GROUP = "book-a-flight-0a1b2c3d"
PARAMS = {"base": "tiny", "examples": 100, "learning_rate": 1e-3}
TAGS = {"base": "tiny", "dataset_digest": "d" * 16, "training_digest": "t" * 16}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """An MLflow database with its tables; making one takes seconds, copying one does not."""
    settings = Settings(home=tmp_path_factory.mktemp("template"))
    tracking.client(settings).search_experiments()
    return settings.home / "mlflow"


@pytest.fixture
def settings(template, tmp_path):
    shutil.copytree(template, tmp_path / "mlflow")
    return Settings(home=tmp_path)


def status(settings, run_id):
    return tracking.client(settings).get_run(run_id).info.status


def trained(settings, **tags):
    with tracking.attempt(settings, GROUP, PARAMS, TAGS | tags) as run_id:
        pass
    return run_id


def test_a_run_is_running_inside_and_finished_after(settings):
    with tracking.attempt(settings, GROUP, PARAMS, TAGS, dagster_run_id="abcdef01-2345") as run_id:
        assert status(settings, run_id) == "RUNNING"
    run = tracking.client(settings).get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"base": "tiny", "examples": "100", "learning_rate": "0.001"}
    assert run.data.tags["dagster.url"] == "http://127.0.0.1:3000/runs/abcdef01-2345"
    assert run.data.tags["slm.training_digest"] == "t" * 16
    assert run.data.tags["dagster.url"] in run.data.tags["mlflow.note.content"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_run_that_raises_ends_failed(settings, error):
    with pytest.raises(error), tracking.attempt(settings, GROUP, PARAMS, TAGS) as run_id:
        raise error
    assert status(settings, run_id) == "FAILED"


def test_more_than_twenty_params_are_refused_and_no_run_starts(settings):
    with pytest.raises(ValueError, match="21 params"), tracking.attempt(settings, GROUP, dict.fromkeys(map(str, range(21)), 1), TAGS):
        pass
    assert tracking.client(settings).get_experiment_by_name(GROUP) is None


def test_a_group_has_one_experiment_with_its_attempts_numbered(settings):
    runs = [trained(settings), trained(settings)]
    found = [tracking.client(settings).get_run(r).info for r in runs]
    assert [r.run_name for r in found] == ["attempt 1", "attempt 2"]
    assert {r.experiment_id for r in found} == {tracking.experiment_id(settings, GROUP)}


def test_an_interrupted_run_is_gone_on_with(settings):
    with pytest.raises(RuntimeError), tracking.attempt(settings, GROUP, PARAMS, TAGS) as first:
        raise RuntimeError
    with tracking.attempt(settings, GROUP, PARAMS | {"seed": 7}, TAGS, run_id=first) as second:
        assert status(settings, first) == "RUNNING"
    assert second == first
    assert status(settings, first) == "FINISHED"
    assert tracking.client(settings).get_run(first).data.params["seed"] == "7"


def test_a_finished_run_is_not_reopened(settings):
    first = trained(settings)
    with tracking.attempt(settings, GROUP, PARAMS, TAGS, run_id=first) as second:
        assert second != first


def test_the_run_of_a_killed_process_is_closed_as_killed(settings):
    code = (
        "import os, pathlib, signal, sys\n"
        "from slm_pipeline.resources import tracking\n"
        "from slm_pipeline.settings import Settings\n"
        f"with tracking.attempt(Settings(home=pathlib.Path(sys.argv[1])), {GROUP!r}, {{}}, {{}}) as run_id:\n"
        "    print(run_id, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(settings.home)], stdout=subprocess.PIPE, text=True)
    orphan = process.stdout.readline().strip()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert status(settings, orphan) == "RUNNING"
    with tracking.attempt(settings, GROUP, PARAMS, TAGS) as mine:
        assert tracking.close_orphans(settings, GROUP, except_run_id=orphan) == []
        assert tracking.close_orphans(settings, GROUP) == [orphan], "a zombie is not alive"
        process.communicate()
        assert status(settings, orphan) == "KILLED"
        tracking.client(settings).update_run(orphan, status="RUNNING")
        assert tracking.close_orphans(settings) == [orphan], "found in all groups after the process was reaped"
        assert status(settings, mine) == "RUNNING"


def test_the_run_of_a_reused_process_number_is_closed(settings):
    with tracking.attempt(settings, GROUP, PARAMS, TAGS) as run_id:
        tracking.client(settings).set_tag(run_id, "slm.process_start", "1000.0")
        assert tracking.client(settings).get_run(run_id).data.tags["slm.pid"] == str(os.getpid())
        assert tracking.close_orphans(settings, GROUP) == [run_id]


def test_curves_are_logged_once_by_step(settings):
    curves = [{"step": s, "epoch": 1, "train_loss": 2.0 - s / 1000, "val_loss": None if s % 100 else 1.5} for s in range(1, 1203)]
    run_id = trained(settings)
    for _ in range(2):
        tracking.log_curves(settings, run_id, curves)
    history = tracking.client(settings).get_metric_history(run_id, "train_loss")
    assert [(m.step, m.value) for m in sorted(history, key=lambda m: m.step)] == [(c["step"], c["train_loss"]) for c in curves]
    assert len(tracking.client(settings).get_metric_history(run_id, "val_loss")) == 12


def test_scores_and_dataset_are_seen_on_the_run(settings):
    run_id = trained(settings)
    tracking.log_scores(settings, run_id, {"test.accuracy": 0.4, "test.gain": 0.1})
    tracking.log_dataset(settings, run_id, GROUP, "d" * 16, {"train": 90, "validation": 10})
    run = tracking.client(settings).get_run(run_id)
    assert run.data.metrics == {"test.accuracy": 0.4, "test.gain": 0.1}
    (given,) = run.inputs.dataset_inputs
    assert (given.dataset.name, given.dataset.digest) == (GROUP, "d" * 16)
    assert '"train": 90' in given.dataset.profile


def test_only_the_adapters_own_files_are_stored(settings, tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name in (*tracking.ADAPTER_FILES, "model.safetensors", "attempt.json"):
        (folder / name).write_bytes(b"x")
    run_id = trained(settings)
    tracking.log_adapter(settings, run_id, folder)
    stored = [a.path for a in tracking.client(settings).list_artifacts(run_id, "adapter")]
    assert stored == sorted(f"adapter/{name}" for name in tracking.ADAPTER_FILES)
    assert list(settings.mlflow_artifacts.rglob("adapter.gguf")), "below the folder that settings name"


def test_registering_a_run_twice_gives_the_same_version(settings):
    run_id = trained(settings)
    assert tracking.register(settings, GROUP, run_id, "a" * 16, "l" * 16) == "1"
    assert tracking.register(settings, GROUP, run_id, "a" * 16, "l" * 16) == "1"
    assert tracking.register(settings, GROUP, trained(settings), "b" * 16) == "2"


def test_a_group_nobody_trained_has_neither_champion_nor_challenger(settings):
    assert tracking.champion(settings, GROUP) is None
    assert tracking.challenger(settings, GROUP) is None


def test_promotion_moves_the_aliases(settings):
    first, second = trained(settings), trained(settings, dataset_digest="e" * 16)
    for run_id, digest in ((first, "a" * 16), (second, "b" * 16)):
        version = tracking.register(settings, GROUP, run_id, digest, "l" * 16)
        tracking.set_challenger(settings, GROUP, version)
        assert tracking.challenger(settings, GROUP).run_id == run_id
        tracking.promote(settings, GROUP, version)
        assert tracking.challenger(settings, GROUP) is None
    champion = tracking.champion(settings, GROUP)
    assert champion == tracking.AdapterVersion(
        group=GROUP,
        version="2",
        run_id=second,
        experiment_id=tracking.experiment_id(settings, GROUP),
        base="tiny",
        adapter_digest="b" * 16,
        lake_digest="l" * 16,
        dataset_digest="e" * 16,
    )
    roles = [tracking.client(settings).get_run(r).data.tags["slm.role"] for r in (first, second)]
    assert roles == ["former champion", "champion"]


def test_a_refused_challenger_leaves_the_champion(settings):
    for number in ("1", "2"):
        assert tracking.register(settings, GROUP, trained(settings), number * 16) == number
    tracking.promote(settings, GROUP, "1")
    tracking.set_challenger(settings, GROUP, "2")
    assert tracking.champion(settings, GROUP).version == "1"
    assert tracking.challenger(settings, GROUP).version == "2"


def test_links_can_stand_in_markdown(settings):
    assert tracking.comparison_url(settings, "aa", "bb", "3") == (
        "http://127.0.0.1:5000/#/compare-runs?runs=%5B%22aa%22%2C%20%22bb%22%5D&experiments=%5B%223%22%5D"
    )
    assert tracking.charts_url(settings, "3") == "http://127.0.0.1:5000/#/experiments/3/runs?compareRunsMode=CHART"
    assert tracking.model_url(settings, GROUP, "2") == f"http://127.0.0.1:5000/#/models/{GROUP}/versions/2"
    assert tracking.run_url(settings, "3", "aa") == "http://127.0.0.1:5000/#/experiments/3/runs/aa"


def test_graded_answers_replace_those_of_an_earlier_evaluation_and_go_with_an_erasure(settings):
    run_id = trained(settings)
    tracking.register(settings, GROUP, run_id, "a" * 16)

    def shown() -> pd.DataFrame:
        return pd.DataFrame(**json.loads(Path(tracking.client(settings).download_artifacts(run_id, tracking.GRADED)).read_text()))

    tracking.mark_erased(settings, GROUP)  # there is no table yet
    for given in (["Rome", "Oslo"], ["Lima"]):
        tracking.log_graded(settings, run_id, pd.DataFrame({"verdict": "passed", "given": given}))
        assert shown()["given"].tolist() == given
    tags = tracking.client(settings).get_run(run_id).data.tags
    assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": tracking.GRADED, "type": "table"}], "shown as a table"
    tracking.mark_erased(settings, GROUP)
    assert shown().empty
