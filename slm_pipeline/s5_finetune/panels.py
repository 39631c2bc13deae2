"""A training attempt as what Dagster's asset panel shows: figures, loss curves, links."""

import dagster as dg

from slm_pipeline.plots import as_markdown_image, loss_curves_png
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.settings import Settings


def adapter_metadata(training: Json, attempt: Json, fresh: bool, champion: AdapterVersion | None, settings: Settings) -> dict:
    """`training` is the adapter's training.json, `attempt` the lake's record of the attempt that made it."""
    run, experiment = attempt["mlflow_run_id"], attempt["experiment_id"]
    metadata = {
        "trained_now": fresh,
        "base": training["base"],
        "examples": training["examples"],
        "failures_included": training["failures_seen"],
        "failures_total": attempt["failures_total"],
        "shortened_prompts": training["shortened_prompts"],
        "best_epoch": training["best_epoch"],
        "best_val_loss": training["best_loss"],
        "dataset_digest": training["dataset_digest"],
        "version": f"v{attempt['model_version']}",
        "loss": dg.MetadataValue.md(as_markdown_image(loss_curves_png(training["curves"]), "loss by step")),
        "mlflow_run": dg.MetadataValue.url(tracking.run_url(settings, experiment, run)),
        "all_attempts": dg.MetadataValue.url(tracking.charts_url(settings, experiment)),
    }
    if champion and champion.run_id != run:
        metadata["comparison_with_champion"] = dg.MetadataValue.url(tracking.comparison_url(settings, champion.run_id, run, experiment))
    return metadata
