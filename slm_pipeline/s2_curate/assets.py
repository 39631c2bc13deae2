"""S2 in the asset graph."""

from functools import partial

import dagster as dg

from slm_pipeline.lake import Lake, digest
from slm_pipeline.partitions import days
from slm_pipeline.s1_collect.assets import RAW, raw_calls
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s2_curate.curation import VERSION, Curated, curate_day
from slm_pipeline.s2_curate.repeats import CURATED, FILE, EarlierDays, to_bytes
from slm_pipeline.settings import get_settings

CURATION_SETTINGS = {"split_key", "stand_ins", "names_backend", "canary_share"}


@dg.asset(
    deps=[raw_calls],
    partitions_def=days,
    group_name="s2_curate",
    owners=["team:slm-pipeline"],
    kinds={"parquet", "pandas"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def curated_calls(context: dg.AssetExecutionContext) -> None:
    """A day's calls without personal data and secrets, each with its split and its target.

    A call that is not trained on says why in `drop_reason`; only the training split is filtered.
    """
    settings = get_settings()
    lake, log = Lake(settings.lake), CallLog(settings, Role.PIPELINE)
    earlier, logged, used = EarlierDays(lake), set(log.days()), settings.model_dump(include=CURATION_SETTINGS)
    for day in context.partition_keys:
        # what has left the log by age stays curated as it was
        raw, current = lake.read(RAW, day) if day in logged else None, lake.read(CURATED, day)
        inputs = raw and digest(VERSION, used, raw.inputs, earlier.digest(day))
        if raw and (current is None or current.inputs != inputs):
            curated = curate_day(log.read(day), day, settings, partial(earlier.known, day))
            current = lake.write(CURATED, day, files_of(curated), inputs=inputs)
            earlier.add(day, current)
        metadata = _numbers(current.json("funnel")) | {"digest": current.digest} if current else {"calls": 0}
        context.add_asset_metadata(metadata, partition_key=day)


def files_of(curated: Curated) -> dict:
    """What the lake holds of a curated day."""
    return {"calls": curated.calls, "canaries": curated.canaries, "funnel": curated.funnel, FILE: to_bytes(curated.repeats)}


def _numbers(funnel: dict) -> dict:
    rows = [f"| {reason} | {n} |" for reason, n in funnel.items() if isinstance(n, int) and reason not in ("calls", "kept", "canaries")]
    rows += [f"| **kept** | **{funnel['kept']}** |", f"| calls | {funnel['calls']} |"]
    redactions = [f"| {kind} | {n} |" for kind, n in funnel["redactions"].items()]
    return {
        "calls": funnel["calls"],
        "kept": funnel["kept"],
        "funnel": dg.MetadataValue.md("\n".join(["| reason | calls |", "| --- | ---: |", *rows])),
        "canaries": funnel["canaries"],
        "redactions": dg.MetadataValue.md("\n".join(["| kind | found |", "| --- | ---: |", *redactions])),
    }
