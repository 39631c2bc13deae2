"""One attempt at a group's adapter: train or go on training, write it to the lake, record and register it in MLflow."""

from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.licences import teachers_of, training_allowed
from slm_pipeline.s5_finetune.configuration import Configuration, configuration_of
from slm_pipeline.s5_finetune.dataset import Dataset, build_dataset
from slm_pipeline.s5_finetune.fit import fit
from slm_pipeline.s5_finetune.provenance import data_facts
from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import granted, told

ADAPTER, ATTEMPT = "s5_finetune/adapter", "s5_finetune/attempt"
"""The adapter is what training makes of its inputs, byte for byte; the attempt says which run made it and what it had seen."""

SHOWN = {"failure_repeats", "max_prompt_tokens", "max_answer_tokens", "teacher_model"}
FINGERPRINT = SHOWN | {"distillation_alpha", "distillation_temperature", "min_preference_pairs", "preference_beta"}
"""Settings that the adapter depends on; those of SHOWN are params of its MLflow run, which has room for few."""


class LicenceRefused(ValueError):
    """The base may not be trained on these answers; says whose terms forbid it, and what an operator can do."""


class NothingToLearn(ValueError):
    """None of a group's training answers can be trained on; says why, and what to change."""


def fine_tune(
    group: str, settings: Settings, dagster_run: str, on_step: Callable[[int, int, float], None], fit: Callable[..., Json] = fit
) -> tuple[Artefact, bool]:
    """The group's adapter and whether it was trained now; nothing is trained while examples, base and settings are the same.

    `on_step(step, steps, loss)` is called after every training step. An attempt that was killed is gone on with. `fit` trains, as
    `fit.fit` does. Raises LicenceRefused, NothingToLearn.
    """
    lake = Lake(settings.lake)
    base = ensure_base(lake.read("s4_select/selected_base", group).json("selection")["base"], settings)
    examples = lake.read("s3_cluster/task_examples", group)
    configuration = configuration_of(group, settings)
    tasks = examples.json("tasks")
    tools, checkers = granted(tasks, group, settings), checkers_of(tasks, group, settings)
    dataset = build_dataset(examples.table("examples"), base.folder, settings, configuration.prompt, tools, checkers)
    if not dataset.training:
        raise NothingToLearn(
            f"No training answer of {group} can be learned: {dataset.left_out} are longer than {settings.max_answer_tokens} tokens, which "
            f"SLM_MAX_ANSWER_TOKENS raises, and of {dataset.rejected} its checker keeps nothing."
        )
    training_digest = digest(dataset.digest, base.name, configuration.json(), settings.model_dump(include=FINGERPRINT))
    with _alone(settings, group):
        failures = examples.json("summary")["failures_total"]
        current = lake.read(ADAPTER, group)
        if current and current.inputs == training_digest:
            seen = lake.read(ATTEMPT, group).json("attempt")
            lake.write(ATTEMPT, group, {"attempt": seen | {"failures_total": failures}})
            return current, False
        made_of = _made_of(base, examples.table("examples"), lake, settings) | {
            "tools": {task: told(of) for task, of in tools.items()},
            "data": data_facts(examples),
        }
        artefact, attempt = _train(group, settings, base, dataset, configuration, made_of, training_digest, dagster_run, on_step, fit)
        lake.write(ATTEMPT, group, {"attempt": attempt | {"failures_total": failures}})
        return artefact, True


def _made_of(base: BaseFiles, examples: pd.DataFrame, lake: Lake, settings: Settings) -> Json:
    """Whose answers an adapter is trained on, and what their terms and the base's licence say. Raises LicenceRefused."""
    used = examples[examples["split"].isin(["train", "validation"])]
    verdict = training_allowed(entry(base.name, settings), teachers_of(used, lake), settings)
    if not verdict.allowed:
        raise LicenceRefused("\n".join(verdict.reasons))
    return {"licence": verdict.json()}


def _train(
    group: str,
    settings: Settings,
    base: BaseFiles,
    dataset: Dataset,
    configuration: Configuration,
    made_of: Json,
    training_digest: str,
    dagster_run: str,
    on_step: Callable[[int, int, float], None],
    fit: Callable[..., Json],
) -> tuple[Artefact, Json]:
    checkpoint = settings.checkpoints / group / f"{training_digest}.pt"
    run_file = checkpoint.with_suffix(".run")
    begun = run_file.read_text() if run_file.exists() else None
    tracking.close_orphans(settings, group, except_run_id=begun)
    params = {
        "base": base.name,
        "examples": len(dataset.training),
        "validation_examples": len(dataset.validation),
        "failures_included": dataset.failures,
        "dataset_digest": dataset.digest,
        **configuration.json(),
        **settings.model_dump(include=SHOWN),
    }
    tags = {"base": base.name, "dataset_digest": dataset.digest, "training_digest": training_digest}
    with tracking.attempt(settings, group, params, tags, dagster_run, begun) as run_id, TemporaryDirectory() as folder:
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        run_file.write_text(run_id)
        curves = fit(base, dataset, configuration, settings, Path(folder), checkpoint, on_step)
        facts = {"group": group, "base": base.name, "training_digest": training_digest, "dataset_digest": dataset.digest}
        counts = {"examples": len(dataset.training), "failures_seen": dataset.failures, "shortened_prompts": dataset.shortened}
        counts |= {"over_long_answers": dataset.left_out, "rejected_answers": dataset.rejected}
        counts |= {"mended_answers": dataset.mended, "unchecked_answers": dataset.unchecked}
        contents = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        weights = next(data for name, data in sorted(contents.items()) if name.endswith(".safetensors"))
        record = {**facts, **counts, **made_of, "params": {k: str(v) for k, v in params.items()}, **curves}
        artefact = Lake(settings.lake).write(ADAPTER, group, {**contents, "training": record}, training_digest, keep_old=True)
        tracking.log_curves(settings, run_id, curves["curves"])
        preferred = {f"preference_{key}": float(value) for key, value in (curves["preference"] or {}).items()}
        tracking.log_scores(settings, run_id, {"best_val_loss": curves["best_loss"], "best_epoch": curves["best_epoch"]} | preferred)
        tracking.log_dataset(settings, run_id, group, dataset.digest, counts)
        tracking.log_adapter(settings, run_id, artefact.local())
        version = tracking.register(settings, group, run_id, digest(weights), artefact.digest)
        tracking.set_challenger(settings, group, version)
    checkpoint.unlink(missing_ok=True)
    run_file.unlink()
    return artefact, {"mlflow_run_id": run_id, "model_version": version, "experiment_id": tracking.experiment_id(settings, group)}


@contextmanager
def _alone(settings: Settings, group: str):
    """Holds the group's lock: `slm run` and the daemon's run must not train one group at once; freed when the process ends."""
    import fcntl

    settings.checkpoints.mkdir(parents=True, exist_ok=True)
    with (settings.checkpoints / f"{group}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
