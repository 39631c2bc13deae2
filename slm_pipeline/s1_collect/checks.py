"""Checks of S1."""

from collections import Counter

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.s1_collect.assets import RAW, raw_calls
from slm_pipeline.settings import get_settings


@dg.asset_check(asset=raw_calls)
def calls_are_well_formed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Every call has messages and an answer. S2 drops the few that have not; many mean that something logs wrongly."""
    settings = get_settings()
    lake = Lake(settings.lake)
    manifests = [a.json("manifest") for day in context.op_execution_context.partition_keys if (a := lake.read(RAW, day))]
    faults: Counter[str] = Counter()
    for manifest in manifests:
        faults.update(manifest["faults"])
    calls = sum(manifest["calls"] for manifest in manifests)
    share = sum(faults.values()) / calls if calls else 0.0
    return dg.AssetCheckResult(
        passed=share <= settings.max_malformed_share,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"calls": calls, "share": share, "threshold": settings.max_malformed_share, "faults": dict(sorted(faults.items()))},
    )
