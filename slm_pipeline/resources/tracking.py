"""MLflow: one experiment and one registered model per group, one run per training attempt.

Everything is written straight to the database that the MLflow server shows, so training needs no server. The files of an
adapter are found in the lake, by the digests that its registry version carries; MLflow holds a copy for people.
"""

import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import Run

MAX_PARAMS = 20
ADAPTER_FILES = ("adapter_model.safetensors", "adapter_config.json", "adapter.gguf", "training.json")
ADAPTER_PATH = "adapter"
GRADED = "graded_answers.json"
CHAMPION, CHALLENGER = "champion", "challenger"
METRICS_AT_ONCE = 1000
"""MLflow refuses larger batches."""


@dataclass(frozen=True)
class AdapterVersion:
    """A version of a group's registered model. `adapter_digest` is of the weights, `lake_digest` of the lake's artefact."""

    group: str
    version: str
    run_id: str
    experiment_id: str
    base: str
    adapter_digest: str
    lake_digest: str
    dataset_digest: str


def client(settings: Settings) -> "MlflowClient":
    """A client of the tracking store and registry at `settings.mlflow_uri`; creates the database once, which takes seconds."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    return MlflowClient(settings.mlflow_uri, settings.mlflow_uri)


def experiment_id(settings: Settings, group: str) -> str:
    """The group's experiment, made if it is not there: the charts of one experiment overlay the attempts of one group."""
    mlflow = client(settings)
    if found := mlflow.get_experiment_by_name(group):
        return found.experiment_id
    location = (settings.mlflow_artifacts / group).as_uri()
    # without the kind, the experiment's page opens on traces instead of runs
    tags = {"slm.group": group, "mlflow.experimentKind": "custom_model_development"}
    return mlflow.create_experiment(group, location, tags | {"mlflow.note.content": _group_note(settings, group)})


@contextmanager
def attempt(
    settings: Settings,
    group: str,
    params: Mapping[str, object],
    tags: Mapping[str, str],
    dagster_run_id: str = "",
    run_id: str | None = None,
) -> Iterator[str]:
    """One training attempt; yields its MLflow run id. The run ends FINISHED, or FAILED if anything is raised.

    A given `run_id` is gone on with unless it is FINISHED. `tags` (base, dataset_digest, training_digest) get the prefix "slm.".
    Raises ValueError for more than 20 params: a comparison of runs has to fit on a screen.
    """
    if len(params) > MAX_PARAMS:
        raise ValueError(f"{len(params)} params, at most {MAX_PARAMS}: log only those that tell attempts apart")
    mlflow = client(settings)
    run = _resumed(mlflow, run_id) or _started(mlflow, experiment_id(settings, group))
    _describe(mlflow, run, params, _attempt_tags(settings, group, tags, dagster_run_id))
    try:
        yield run.info.run_id
    except BaseException:
        mlflow.set_terminated(run.info.run_id, "FAILED")
        raise
    mlflow.set_terminated(run.info.run_id, "FINISHED")


def close_orphans(settings: Settings, group: str | None = None, except_run_id: str | None = None) -> list[str]:
    """End as KILLED the RUNNING runs (of one group, or all) whose process is gone; returns their ids.

    A process is known by its number and start time, so runs of a process killed with -9 are found after a reboot too.
    """
    mlflow = client(settings)
    experiments = [experiment_id(settings, group)] if group else [e.experiment_id for e in mlflow.search_experiments()]
    running = mlflow.search_runs(experiments, "attributes.status = 'RUNNING'", max_results=1000)
    orphans = sorted(r.info.run_id for r in running if r.info.run_id != except_run_id and _is_orphan(r))
    for run_id in orphans:
        mlflow.set_terminated(run_id, "KILLED")
    return orphans


def log_curves(settings: Settings, run_id: str, curves: Sequence[Json]) -> None:
    """Log train_loss and val_loss by step; points that the run has already are left out, missing values too."""
    from mlflow.entities import Metric

    mlflow, now = client(settings), int(time.time() * 1000)
    points = []
    for key in ("train_loss", "val_loss"):
        there = {m.step for m in mlflow.get_metric_history(run_id, key)}
        points += [Metric(key, c[key], now, c["step"]) for c in curves if c.get(key) is not None and c["step"] not in there]
    for start in range(0, len(points), METRICS_AT_ONCE):
        mlflow.log_batch(run_id, metrics=points[start : start + METRICS_AT_ONCE])


def log_scores(settings: Settings, run_id: str, scores: Mapping[str, float]) -> None:
    """Log final figures of a run, one value each."""
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client(settings).log_batch(run_id, metrics=[Metric(key, value, now, 0) for key, value in sorted(scores.items())])


def log_dataset(settings: Settings, run_id: str, name: str, digest: str, counts: Mapping[str, int]) -> None:
    """Name the examples a run was trained on, by their digest in the lake; no example leaves the lake."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"lake": settings.lake, "asset": "s3_cluster/task_examples", "partition": name, "digest": digest})
    dataset = Dataset(name=name, digest=digest, source_type="lake", source=source, profile=json.dumps(dict(counts)))
    client(settings).log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def log_graded(settings: Settings, run_id: str, rows: "pd.DataFrame") -> None:
    """Put a table of graded answers on a run's page, in place of an earlier one: `log_table` alone would append to it."""
    mlflow = client(settings)
    _empty_graded(mlflow, run_id)
    mlflow.log_table(run_id, rows, GRADED)


def _empty_graded(mlflow: "MlflowClient", run_id: str) -> None:
    if any(file.path == GRADED for file in mlflow.list_artifacts(run_id)):
        mlflow.log_text(run_id, json.dumps({"columns": [], "data": []}), GRADED)


def log_adapter(settings: Settings, run_id: str, folder: Path) -> None:
    """Copy the adapter's own files, a few MB; never the base."""
    mlflow = client(settings)
    for name in ADAPTER_FILES:
        if (folder / name).exists():
            mlflow.log_artifact(run_id, str(folder / name), ADAPTER_PATH)


def register(settings: Settings, group: str, run_id: str, adapter_digest: str, lake_digest: str = "") -> str:
    """The registry version of a run's adapter; a run has one version, however often this is called."""
    mlflow = client(settings)
    _registered_model(settings, group)
    if found := mlflow.search_model_versions(f"name = '{group}' and run_id = '{run_id}'"):
        return str(found[0].version)
    run = mlflow.get_run(run_id)
    copied = {key: value for key, value in run.data.tags.items() if key in ("slm.base", "slm.dataset_digest", "slm.training_digest")}
    tags = copied | {"slm.adapter_digest": adapter_digest, "slm.lake_digest": lake_digest}
    model_id = _external_model(mlflow, run, group, tags)
    source = f"runs:/{run_id}/{ADAPTER_PATH}"
    note = f"Trained by [{run.info.run_name}]({run_url(settings, run.info.experiment_id, run_id)})."
    return str(mlflow.create_model_version(group, source, run_id, tags, description=note, model_id=model_id).version)


def set_challenger(settings: Settings, group: str, version: str) -> None:
    """Give a version the alias challenger; whichever had it loses it."""
    mlflow = client(settings)
    mlflow.set_registered_model_alias(group, CHALLENGER, version)
    _set_role(mlflow, group, version, CHALLENGER)


def promote(settings: Settings, group: str, version: str) -> None:
    """Make a version the champion; the old champion loses the alias and is tagged as former champion."""
    mlflow = client(settings)
    old, waiting = champion(settings, group), challenger(settings, group)
    mlflow.set_registered_model_alias(group, CHAMPION, version)
    _set_role(mlflow, group, version, CHAMPION)
    if waiting and waiting.version == version:
        mlflow.delete_registered_model_alias(group, CHALLENGER)
    if old and old.version != version:
        _set_role(mlflow, group, old.version, "former champion")


def champion(settings: Settings, group: str) -> AdapterVersion | None:
    """The version that answers the group's calls, if any was promoted."""
    return _by_alias(settings, group, CHAMPION)


def challenger(settings: Settings, group: str) -> AdapterVersion | None:
    """The newest version that waits for the gate, if any."""
    return _by_alias(settings, group, CHALLENGER)


def mark_erased(settings: Settings, group: str) -> int:
    """Tag all versions of a group's adapter as trained on calls that have been erased since, and empty their tables of graded answers,
    which quote calls; returns their number."""
    mlflow = client(settings)
    versions = mlflow.search_model_versions(f"name = '{group}'")
    for version in versions:
        mlflow.set_model_version_tag(group, version.version, "slm.trained_on_erased", "true")
        mlflow.set_tag(version.run_id, "slm.trained_on_erased", "true")
        _empty_graded(mlflow, version.run_id)
    return len(versions)


def charts_url(settings: Settings, experiment: str) -> str:
    """The page that overlays the curves of all attempts of one group."""
    return f"{settings.mlflow_url}/#/experiments/{experiment}/runs?compareRunsMode=CHART"


def run_url(settings: Settings, experiment: str, run_id: str) -> str:
    return f"{settings.mlflow_url}/#/experiments/{experiment}/runs/{run_id}"


def model_url(settings: Settings, group: str, version: str) -> str:
    return f"{settings.mlflow_url}/#/models/{quote(group)}/versions/{version}"


def comparison_url(settings: Settings, run_a: str, run_b: str, experiment: str) -> str:
    """The page that sets two runs of one experiment side by side."""
    runs, experiments = quote(json.dumps([run_a, run_b])), quote(json.dumps([experiment]))
    return f"{settings.mlflow_url}/#/compare-runs?runs={runs}&experiments={experiments}"


def _resumed(mlflow: "MlflowClient", run_id: str | None) -> "Run | None":
    run = mlflow.get_run(run_id) if run_id else None
    if run is None or run.info.status == "FINISHED":
        return None
    mlflow.update_run(run_id, status="RUNNING")
    return run


def _started(mlflow: "MlflowClient", experiment: str) -> "Run":
    # searches leave runs in the experiment that are no attempts (`search_runs.py`)
    before = len(mlflow.search_runs([experiment], "attributes.run_name LIKE 'attempt %'", max_results=1000))
    return mlflow.create_run(experiment, run_name=f"attempt {before + 1}")


def _describe(mlflow: "MlflowClient", run: "Run", params: Mapping[str, object], tags: Mapping[str, str]) -> None:
    from mlflow.entities import Param, RunTag

    fresh = [Param(key, str(value)) for key, value in params.items() if key not in run.data.params]
    mlflow.log_batch(run.info.run_id, params=fresh, tags=[RunTag(key, value) for key, value in tags.items()])


def _attempt_tags(settings: Settings, group: str, tags: Mapping[str, str], dagster_run_id: str) -> dict[str, str]:
    process = psutil.Process()
    ours = {f"slm.{key}": value for key, value in tags.items()}
    ours |= {"slm.group": group, "slm.pid": str(process.pid), "slm.process_start": str(process.create_time())}
    if dagster_run_id:
        ours |= {"dagster.run_id": dagster_run_id, "dagster.url": f"{settings.dagster_url}/runs/{dagster_run_id}"}
    made_by = f"Trained by Dagster run [{dagster_run_id[:8]}]({ours['dagster.url']}). " if dagster_run_id else ""
    return ours | {"mlflow.note.content": made_by + _group_note(settings, group)}


def _group_note(settings: Settings, group: str) -> str:
    def asset(name: str) -> str:
        return f"[{name}]({settings.dagster_url}/assets/{name}?partition={quote(group)})"

    return f"Group {group} in Dagster: {asset('task_examples')}, {asset('adapter')}, {asset('eval_report')}."


def _is_orphan(run: "Run") -> bool:
    if "slm.pid" not in run.data.tags:
        return False
    try:
        process = psutil.Process(int(run.data.tags["slm.pid"]))
        # start times are counted from the boot time, which a clock adjustment moves a little
        same = abs(process.create_time() - float(run.data.tags["slm.process_start"])) < 2
        return not same or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _registered_model(settings: Settings, group: str) -> None:
    mlflow = client(settings)
    if not mlflow.search_registered_models(f"name = '{group}'"):
        mlflow.create_registered_model(group, {"slm.group": group}, _group_note(settings, group))


def _external_model(mlflow: "MlflowClient", run: "Run", group: str, tags: Mapping[str, str]) -> str:
    """A LoggedModel without weights of its own: the version's page then shows the run's params and dataset."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_IS_EXTERNAL

    experiment, run_id = run.info.experiment_id, run.info.run_id
    external = {**tags, MLFLOW_MODEL_IS_EXTERNAL: "true"}
    model = mlflow.create_logged_model(experiment, group, run_id, external, run.data.params, "lora-adapter")
    mlflow.finalize_logged_model(model.model_id, "READY")
    mlflow.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return model.model_id


def _set_role(mlflow: "MlflowClient", group: str, version: str, role: str) -> None:
    mlflow.set_model_version_tag(group, version, "slm.role", role)
    mlflow.set_tag(mlflow.get_model_version(group, version).run_id, "slm.role", role)


def _by_alias(settings: Settings, group: str, alias: str) -> AdapterVersion | None:
    mlflow = client(settings)
    models = mlflow.search_registered_models(f"name = '{group}'")
    if not models or alias not in models[0].aliases:
        return None
    found = mlflow.get_model_version_by_alias(group, alias)
    tags = {key: found.tags.get(f"slm.{key}", "") for key in ("base", "adapter_digest", "lake_digest", "dataset_digest")}
    run = mlflow.get_run(found.run_id)
    return AdapterVersion(group, str(found.version), found.run_id, run.info.experiment_id, **tags)
