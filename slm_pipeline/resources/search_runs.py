"""Runs in a group's experiment that compare candidates and make no version: a parent for each search, a child for each trial.

They stand beside the attempts, so that one page of MLflow compares all that was tried for a group. Their tag `slm.kind` says which
search they belong to; attempts have none.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil

from slm_pipeline.resources.tracking import client, experiment_id
from slm_pipeline.settings import Settings


@contextmanager
def search_run(
    settings: Settings, group: str, kind: str, name: str, params: Mapping[str, object], parent: str | None = None
) -> Iterator[str]:
    """One search, or with `parent` one trial of it; yields its MLflow run id. The run ends FINISHED, or FAILED if anything is raised."""
    from mlflow.entities import Param, RunTag

    mlflow, process = client(settings), psutil.Process()
    run_id = mlflow.create_run(experiment_id(settings, group), run_name=name).info.run_id
    tags = {"slm.kind": kind, "slm.group": group, "slm.pid": str(process.pid), "slm.process_start": str(process.create_time())}
    tags |= {"mlflow.parentRunId": parent} if parent else {}
    given, marks = [Param(key, str(value)) for key, value in params.items()], [RunTag(key, value) for key, value in tags.items()]
    mlflow.log_batch(run_id, params=given, tags=marks)
    try:
        yield run_id
    except BaseException:
        mlflow.set_terminated(run_id, "FAILED")
        raise
    mlflow.set_terminated(run_id, "FINISHED")


def log_loss(settings: Settings, run_id: str, step: int, value: float) -> None:
    """The validation loss after a training step, on the axis of the attempts' curves."""
    client(settings).log_metric(run_id, "val_loss", value, int(time.time() * 1000), step)


def mark(settings: Settings, run_id: str, **tags: str) -> None:
    """Tag a run with what became of it, e.g. state="pruned"."""
    mlflow = client(settings)
    for key, value in tags.items():
        mlflow.set_tag(run_id, f"slm.{key}", value)
