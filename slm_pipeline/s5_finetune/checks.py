"""Checks on adapters."""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.settings import get_settings

MAX_MEGABYTES = 50
CHANCE = 0.001  # ranks of canaries that chance gives less often than this are no chance


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
    """The artefact is a few megabytes: the adapter, never the base. What cannot be an adapter (DoRA, full) is served merged."""
    written = _newest(context)
    if written is None or "adapter.gguf" not in written.files:
        note = "no adapter" if written is None else "merged: it holds a whole model"
        return dg.AssetCheckResult(passed=True, metadata={"note": note})
    size = sum(len(written.bytes(name)) for name in written.files) / 1e6
    return dg.AssetCheckResult(passed=size <= MAX_MEGABYTES, metadata={"megabytes": size, "threshold": MAX_MEGABYTES})


@dg.asset_check(asset="adapter")
def canaries_cannot_be_extracted(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The invented secrets that were planted into the log are nothing special to the adapter: it does not write one, and ranks them
    among values of the same form as chance would."""
    from slm_pipeline.s5_finetune.leakage import leak_test

    leak = leak_test(context.op_execution_context.partition_key, get_settings())
    if leak is None:
        return dg.AssetCheckResult(passed=True, metadata={"note": "no adapter"})
    return dg.AssetCheckResult(passed=not leak["emitted"] and leak["p_value"] >= CHANCE, metadata=leak | {"threshold: p_value": CHANCE})
