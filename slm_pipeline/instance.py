"""Dagster's instance as the command line uses it: where it lies, and the runs that a killed process left behind."""

import json
import os
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.storage.tags import GRPC_INFO_TAG

from slm_pipeline.automation.state import FINISHED, UNFINISHED
from slm_pipeline.settings import REPOSITORY, Settings

PID_TAG = "slm/pid"
STARTED_TAG = "slm/process_started"
WORKING = {dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING}


def prepare_dagster_home(settings: Settings) -> Path:
    """Make `settings.dagster_home` Dagster's home: it reads the repository's `dagster.yaml` from there."""
    home = settings.dagster_home.resolve()
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if not configuration.exists():
        configuration.unlink(missing_ok=True)  # a link to a repository that has moved
        configuration.symlink_to(REPOSITORY / "dagster.yaml")
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The persistent instance."""
    prepare_dagster_home(settings)
    return dg.DagsterInstance.get()


def process_tags() -> dict[str, str]:
    """Tags that name this process, so that another can tell whether it still lives: a pid alone may be reused."""
    process = psutil.Process()
    return {PID_TAG: str(process.pid), STARTED_TAG: str(process.create_time())}


def recover_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs whose process is gone as failed and free their pool slots; returns their ids."""
    dead = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        if _is_gone(run) and instance.get_run_by_id(run.run_id).status not in FINISHED:  # it may have ended meanwhile
            instance.report_run_failed(run, "The process of this run is gone: it was killed.")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            dead.append(run.run_id)
    return dead


def _is_gone(run: dg.DagsterRun) -> bool:
    if PID_TAG in run.tags:
        try:
            started = psutil.Process(int(run.tags[PID_TAG])).create_time()
        except psutil.NoSuchProcess:
            return True
        return abs(started - float(run.tags[STARTED_TAG])) > 5  # the clock may be set while a run goes on
    return run.status in WORKING and GRPC_INFO_TAG in run.tags and not _code_server_has(run)


def _code_server_has(run: dg.DagsterRun) -> bool:
    """Whether the code server that the daemon gave the run to still works on it."""
    from dagster._core.errors import DagsterUserCodeUnreachableError
    from dagster._grpc.client import DagsterGrpcClient
    from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

    address = json.loads(run.tags[GRPC_INFO_TAG])
    client = DagsterGrpcClient(port=address.get("port"), socket=address.get("socket"), host=address["host"])
    try:
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5)
    except DagsterUserCodeUnreachableError:
        return False
    return dg.deserialize_value(answer, CanCancelExecutionResult).can_cancel
