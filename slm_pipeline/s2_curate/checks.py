"""Checks of S2."""

import json
from collections import Counter

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Lake
from slm_pipeline.s2_curate.assets import CURATED, curated_calls
from slm_pipeline.s2_curate.redaction import leaks
from slm_pipeline.settings import get_settings

TEXTS = ("request", "answer", "outcome", "failed_answer")


@dg.asset_check(asset=curated_calls)
def nothing_personal_is_left(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The redaction rules find nothing more in the curated texts. What no rule knows is not seen here."""
    found: Counter[str] = Counter()
    texts = 0
    for table in _tables(context):
        for column in TEXTS:
            for text in table[column].dropna():
                texts += 1
                found.update(kind for kind, _ in leaks(json.loads(text)))
    return dg.AssetCheckResult(passed=not found, metadata={"texts": texts, "found": dict(sorted(found.items())), "threshold": 0})


@dg.asset_check(asset=curated_calls)
def sessions_stay_in_one_split(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """No session has calls in two splits, over the days of this run."""
    tables = _tables(context)
    calls = pd.concat([table[["session_id", "split"]] for table in tables]) if tables else pd.DataFrame({"session_id": [], "split": []})
    torn = int((calls.groupby("session_id")["split"].nunique() > 1).sum())
    shares = calls["split"].value_counts(normalize=True).round(4).sort_index().to_dict()
    metadata = {"sessions": int(calls["session_id"].nunique()), "torn": torn, "threshold": 0, "shares": shares}
    return dg.AssetCheckResult(passed=torn == 0, metadata=metadata)


def _tables(context: dg.AssetCheckExecutionContext) -> list[pd.DataFrame]:
    lake = Lake(get_settings().lake)
    artefacts = (lake.read(CURATED, day) for day in context.op_execution_context.partition_keys)
    return [artefact.table("calls") for artefact in artefacts if artefact]
