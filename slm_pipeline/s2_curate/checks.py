"""Checks of S2."""

from collections import Counter

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.s2_curate.assets import CURATED, curated_calls
from slm_pipeline.settings import get_settings


@dg.asset_check(asset=curated_calls)
def nothing_personal_is_left(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No value that was found stands in a curated text still, and the rules find nothing there but stand-ins; counted while the
    originals were at hand. What nothing recognises is not seen here: `canaries_are_redacted` is about that."""
    found: Counter[str] = Counter()
    calls = 0
    for artefact in _artefacts(context):
        funnel = artefact.json("funnel")
        found.update(funnel["left"])
        calls += funnel["calls"]
    return dg.AssetCheckResult(passed=not found, metadata={"calls": calls, "found": dict(sorted(found.items())), "threshold": 0})


@dg.asset_check(asset=curated_calls)
def canaries_are_redacted(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Of the invented secrets that were planted before redaction, none is in the curated copies."""
    planted = [artefact.table("canaries", ["leaked"]) for artefact in _artefacts(context)]
    leaked = sum(int(table["leaked"].sum()) for table in planted)
    return dg.AssetCheckResult(passed=leaked == 0, metadata={"planted": sum(map(len, planted)), "leaked": leaked, "threshold": 0})


@dg.asset_check(asset=curated_calls)
def sessions_stay_in_one_split(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No session has calls in two splits, over the days of this run."""
    tables = [artefact.table("calls", ["session_id", "split"]) for artefact in _artefacts(context)]
    calls = pd.concat(tables) if tables else pd.DataFrame({"session_id": [], "split": []})
    torn = int((calls.groupby("session_id")["split"].nunique() > 1).sum())
    shares = calls["split"].value_counts(normalize=True).round(4).sort_index().to_dict()
    metadata = {"sessions": int(calls["session_id"].nunique()), "torn": torn, "threshold": 0, "shares": shares}
    return dg.AssetCheckResult(passed=torn == 0, metadata=metadata)


def _artefacts(context: dg.AssetCheckExecutionContext) -> list[Artefact]:
    lake = Lake(get_settings().lake)
    return [found for day in context.op_execution_context.partition_keys if (found := lake.read(CURATED, day))]
