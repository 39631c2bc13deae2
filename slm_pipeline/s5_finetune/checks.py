"""Checks on adapters."""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.settings import get_settings

MAX_MEGABYTES = 50


def _newest(context: dg.AssetCheckExecutionContext):
    return Lake(get_settings().lake).read("s5_finetune/adapter", context.op_execution_context.partition_key)


@dg.asset_check(asset="adapter")
def validation_loss_fell(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The best epoch's validation loss lies below the first training steps' loss: something was learned."""
    written = _newest(context)
    if written is None:
        return dg.AssetCheckResult(passed=True, metadata={"note": "no adapter"})
    training = written.json("training")
    first = training["curves"][0]["train_loss"]
    return dg.AssetCheckResult(
        passed=training["best_loss"] < first,
        metadata={"best validation loss": training["best_loss"], "threshold: loss of the first step": first},
    )


@dg.asset_check(asset="adapter")
def holds_only_the_adapter(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The artefact is a few megabytes: the adapter, never the base."""
    written = _newest(context)
    if written is None:
        return dg.AssetCheckResult(passed=True, metadata={"note": "no adapter"})
    size = sum(len(written.bytes(name)) for name in written.files) / 1e6
    return dg.AssetCheckResult(passed=size <= MAX_MEGABYTES, metadata={"megabytes": size, "threshold": MAX_MEGABYTES})
