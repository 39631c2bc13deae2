"""S1 in the asset graph."""

import dagster as dg

from slm_pipeline.lake import Lake, digest
from slm_pipeline.partitions import days
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.manifest import manifest_of
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s1_collect.usage import RAW, USAGE
from slm_pipeline.settings import get_settings

VERSION = 2  # raise it when the same calls shall be noted otherwise


@dg.asset(
    partitions_def=days,
    group_name="s1_collect",
    owners=["team:slm-pipeline"],
    kinds={"sql"},
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def raw_calls(context: dg.AssetExecutionContext) -> None:
    """The calls that the log booked on a day, in numbers: calls, agents, models, sessions, tokens. What each call used,
    and who answered it, is noted without a word of what it says: the calls themselves stay in the log.

    The sensor `follow_call_log` refreshes the days that got new calls.
    """
    settings = get_settings()
    lake, log = Lake(settings.lake), CallLog(settings, Role.PIPELINE)
    logged = set(log.days())
    for day in context.partition_keys:
        current = lake.read(RAW, day)
        fingerprint = digest(VERSION, log.fingerprint(day))
        if day in logged and (current is None or current.inputs != fingerprint):
            manifest, usage = manifest_of(log, day, settings.split_key)
            current = lake.write(RAW, day, {"manifest": manifest, USAGE: usage}, inputs=fingerprint)
        context.add_asset_metadata(_numbers(current.json("manifest") if current else {"calls": 0}), partition_key=day)


def _numbers(manifest: dict) -> dict:
    keys = ("calls", "failed", "sessions", "outcomes", "prompt_tokens", "completion_tokens", "digest")
    numbers = {key: manifest[key] for key in keys if manifest.get(key) is not None}
    rows = [f"| {what} | {name} | {n} |" for what in ("agents", "models", "served_by") for name, n in manifest.get(what, {}).items()]
    return numbers | ({"by": dg.MetadataValue.md("\n".join(["| | | calls |", "| --- | --- | ---: |", *rows]))} if rows else {})
