"""What the panels of S5 show: a training attempt, the verdicts on tasks, a learning curve."""

from collections.abc import Sequence

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image, loss_curves_png
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s5_finetune.plots import learning_curve_png
from slm_pipeline.s5_finetune.small_tasks import RULE
from slm_pipeline.settings import Settings

COUNTS = ("shortened_prompts", "over_long_answers", "rejected_answers", "mended_answers", "unchecked_answers")


def adapter_metadata(training: Json, attempt: Json, fresh: bool, champion: AdapterVersion | None, settings: Settings) -> dict:
    """`training` is the adapter's training.json, `attempt` the lake's record of the attempt that made it."""
    run, experiment = attempt["mlflow_run_id"], attempt["experiment_id"]
    metadata = {
        "trained_now": fresh,
        "base": training["base"],
        "examples": training["examples"],
        "failures_included": training["failures_seen"],
        "failures_total": attempt["failures_total"],
        **{name: training[name] for name in COUNTS},
        "best_epoch": training["best_epoch"],
        "best_val_loss": training["best_loss"],
        "dataset_digest": training["dataset_digest"],
        "version": f"v{attempt['model_version']}",
        "loss": dg.MetadataValue.md(as_markdown_image(loss_curves_png(training["curves"]), "loss by step")),
        "mlflow_run": dg.MetadataValue.url(tracking.run_url(settings, experiment, run)),
        "all_attempts": dg.MetadataValue.url(tracking.charts_url(settings, experiment)),
    }
    if not int(training["params"]["validation_examples"]):
        metadata["validation"] = "no example yet: the losses called validation's are those of the training examples"
    metadata["whose answers"] = dg.MetadataValue.md(_licence(training["licence"]))
    if preference := training.get("preference"):
        margins = f"{preference['margin_before']:.2f} to {preference['margin_after']:.2f} nats over {preference['pairs']} pairs"
        metadata["preference tuning"] = margins if preference["kept"] else f"{margins}; undone: validation loss rose"
    if champion and champion.run_id != run:
        metadata["comparison_with_champion"] = dg.MetadataValue.url(tracking.comparison_url(settings, champion.run_id, run, experiment))
    return metadata


def _licence(verdict: Json) -> str:
    """Calls by teacher, and what their terms and the base's licence say about training on them."""
    teachers = ", ".join(f"{name}: {calls:,}" for name, calls in sorted(verdict["teachers"].items()))
    return "\n".join([f"{teachers} (training and validation calls)", *(f"- {reason}" for reason in verdict["reasons"])])


def verdicts_metadata(verdicts: Sequence[Json], fresh: bool, settings: Settings) -> dict:
    """The verdict on every task of a group (verdicts.json), the rule, and its thresholds."""

    def row(v: Json) -> dict:
        own = f"{v['own_score']['mean']:.1%} ({v['own_gain']['mean']:+.1%})" if "own_gain" in v else ""
        return {
            "task": v["name"],
            "key": v["task"],
            "training": v["training"],
            "validation": v["validation"],
            "group's adapter": _share(v["score"]),
            "alone (minus the group's)": own,
            "verdict": {"own": "adapter of its own", "group": "its group's adapter", "none": "none: stays with the LLM"}[v["verdict"]],
            "reason": v["reason"],
        }

    counts = pd.Series([v["verdict"] for v in verdicts]).value_counts()
    return {
        "verdicts": dg.MetadataValue.md(pd.DataFrame(map(row, verdicts)).to_markdown(index=False, disable_numparse=True)),
        "rule": RULE,
        **{f"tasks: {name}": int(counts.get(name, 0)) for name in ("own", "group", "none")},
        "threshold: validation calls": settings.min_task_validation,
        "threshold: score": settings.min_task_score,
        "asked_again": fresh,
    }


def curve_metadata(curve: Json, fresh: bool) -> dict:
    """The learning curve (curve.json): picture, points, laws, and how many more examples would reach the gate."""
    rows = [
        {
            "examples": f"{point['examples']:,}",
            "validation loss": f"{point['loss']:.4f}",
            "score": _share(point["score"]),
            "validation calls": point["score"]["n"],
        }
        for point in curve["points"]
    ]
    return {
        "verdict": curve["verdict"],
        "curve": dg.MetadataValue.md(as_markdown_image(learning_curve_png(curve), "score and loss against training examples")),
        "points": dg.MetadataValue.md(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)),
        "opponent": f"{curve['opponent']['name']}: {_share(curve['opponent']['score'])}",
        "need": curve["need"],
        "more_examples": dg.MetadataValue.json(curve["more"]),
        "fit: error = a + b n^-c": dg.MetadataValue.json(curve["error"]),
        "fit: loss = a + b n^-c": dg.MetadataValue.json(curve["loss"]),
        "trained_now": fresh,
    }


def _share(interval: Json) -> str:
    if interval["mean"] is None:
        return "–"
    bounds = "" if interval["low"] is None else f" [{interval['low']:.1%}, {interval['high']:.1%}]"
    return f"{interval['mean']:.1%}{bounds}"
