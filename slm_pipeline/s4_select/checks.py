"""Checks of S4: is there a base to choose, and was the choice measured on enough examples?"""

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.s4_select.assets import CANDIDATES, SELECTED, candidate_models, selected_base
from slm_pipeline.settings import get_settings


@dg.asset_check(asset=candidate_models, blocking=True)
def some_base_passes() -> dg.AssetCheckResult:
    """At least one base model of the catalogue passes every hard filter."""
    settings = get_settings()
    passed = [c["name"] for c in Lake(settings.lake).read(CANDIDATES).json("candidates") if c["ok"]]
    metadata = {"passed": ", ".join(passed) or "none", "asked_for": ", ".join(settings.base_models), "threshold": 1}
    return dg.AssetCheckResult(passed=bool(passed), metadata=metadata)


@dg.asset_check(asset=selected_base)
def probe_is_large_enough(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The probe asked as many validation examples as settings want; with fewer, the choice of prompt form is a guess."""
    settings, lake = get_settings(), Lake(get_settings().lake)
    probed = {g: lake.read(SELECTED, g).json("selection")["probe"]["n"] for g in _groups(context, lake)}
    short = {g: n for g, n in probed.items() if n < settings.probe_examples}
    metadata = {"examples": probed, "threshold": settings.probe_examples}
    return dg.AssetCheckResult(passed=not short, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)


def _groups(context: dg.AssetCheckExecutionContext, lake: Lake) -> list[str]:
    return [context.partition_key] if context.has_partition_key else lake.partitions(SELECTED)
