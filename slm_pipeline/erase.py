"""`slm erase`: one client leaves the log, everything that was made of its calls, and the history of both."""

import shutil
import sqlite3
from collections import Counter
from dataclasses import dataclass, field

import dagster as dg
import pandas as pd
from rich.console import Console

from slm_pipeline.automation.state import ERASED, UNFINISHED, group_keys
from slm_pipeline.instance import open_instance, recover_dead_runs
from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.pseudonyms import pseudonym
from slm_pipeline.resources import tracking
from slm_pipeline.run import Loop
from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.erasure import erase_client, rotate_master_key
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s1_collect.usage import RAW, USAGE
from slm_pipeline.s2_curate.repeats import CURATED, FILE
from slm_pipeline.s3_cluster.registry import only_keys
from slm_pipeline.s6_refine.release import RELEASE
from slm_pipeline.s6_refine.rollout import ROLLOUT, read_rollout, write_rollout
from slm_pipeline.settings import Settings

CLUSTERS, ASSIGNMENTS, EXAMPLES = "s3_cluster/task_clusters", "s3_cluster/task_assignments", "s3_cluster/task_examples"
ADAPTER = "s5_finetune/adapter"
OF_CALLS_NOT_TRAINED_ON = ("s6_refine/eval_report", "s6_refine/base_answers", "s6_refine/router_model", "s6_refine/verifier_model")
QUOTES_PROMPTS = "task_clusters"  # the only asset whose panel in Dagster does


class RunsGoOn(RuntimeError):
    """Runs that started before the erasure may still write what they have read."""


@dataclass
class Erased:
    """What was erased: calls from the log, calls from the curated data, and the groups whose adapters had learned from them."""

    logged: int
    curated: int = 0
    groups: list[str] = field(default_factory=list)


def erase(client_id: str, settings: Settings, console: Console) -> Erased:
    """Erase a client. Can be repeated at any time; raises RunsGoOn when the log is done and the rest has to wait for runs."""
    database = Database(settings, Role.ADMIN)
    erased = Erased(erase_client(database, client_id))
    if settings.master_key is None:
        rotate_master_key(database)  # a copy of the client's wrapped key, in a backup say, opens no more
    else:
        console.print(
            "The master key comes from the environment: change it with `slm keys rotate`, so that no copy of the client's key opens."
        )
    instance = open_instance(settings)
    recover_dead_runs(instance)
    if busy := instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        names = ", ".join(run.run_id[:8] for run in busy)
        raise RunsGoOn(
            f"{erased.logged:,} calls are erased from the log. Runs that may have read them go on ({names}): repeat this when they end."
        )
    lake, client = Lake(settings.lake), pseudonym("client", client_id, settings.split_key)
    _leave_usage(lake, client)
    ids = _leave_curated(lake, client)
    if ids:
        erased.curated, erased.groups = len(ids), _leave_groups(lake, ids, settings)
        served = _leave_releases(lake)
        _forget_history(instance, settings)
        _make_again(settings, instance, lake, erased.groups)
        if served and (rollout := read_rollout(lake)).candidate:  # the groups that have nothing of the client go on as they were
            write_rollout(lake, rollout.promoted("after an erasure").promoted("after an erasure"))
    return erased


def _leave_usage(lake: Lake, client: str) -> None:
    """Take a client's rows out of what the days used; while the log has a day, the next refresh counts it anew."""
    for day in lake.partitions(RAW):
        written = lake.read(RAW, day)
        used = written.table(USAGE)
        its = used["client_id"] == client
        if its.any():
            lake.write(RAW, day, {"manifest": written.json("manifest"), USAGE: used[~its]})


def _leave_curated(lake: Lake, client: str) -> set[str]:
    """Take a client's rows out of the curated days; returns the ids of its calls."""
    ids: set[str] = set()
    for day in lake.partitions(CURATED):
        written = lake.read(CURATED, day)
        calls = written.table("calls")
        its = calls["client_id"] == client
        if not its.any():
            continue
        ids |= set(calls.loc[its, "id"])
        if its.all():
            lake.delete(RAW, day)
            lake.delete(CURATED, day)
        else:
            # no digest of inputs: while the log has the day, the next refresh curates it anew, repeats included
            lake.write(CURATED, day, _without(written, calls[~its], client))
    return ids


def _without(written: Artefact, calls: pd.DataFrame, client: str) -> dict:
    canaries, funnel = written.table("canaries"), written.json("funnel")
    canaries = canaries[canaries["client_id"] != client]
    reasons = Counter(calls["drop_reason"].fillna("kept"))
    counted = {"kept": reasons["kept"], "calls": len(calls), "canaries": len(canaries)}
    funnel = dict(sorted(reasons.items())) | {key: funnel[key] for key in ("redactions", "left")} | counted
    return {"calls": calls, "canaries": canaries, "funnel": funnel, FILE: written.bytes(FILE)}


def _leave_groups(lake: Lake, ids: set[str], settings: Settings) -> list[str]:
    """Delete what was made of these calls and mark the adapters that learned from them; returns the groups they were in."""
    groups: set[str] = set()
    for day in lake.partitions(ASSIGNMENTS):
        assigned = lake.read(ASSIGNMENTS, day).table("assignments")
        its = assigned["id"].isin(ids)
        groups |= set(assigned.loc[its, "group"].dropna())
        if its.any():
            lake.delete(ASSIGNMENTS, day)  # made again from what is left
    for group in groups:
        if adapter := lake.read(ADAPTER, group):
            known = lake.read(ERASED, group)
            lake.write(ERASED, group, {"adapters": sorted({adapter.digest, *(known.json("adapters") if known else ())})})
            tracking.mark_erased(settings, group)
        for asset in (EXAMPLES, *OF_CALLS_NOT_TRAINED_ON):
            lake.delete(asset, group)
        shutil.rmtree(settings.checkpoints / group, ignore_errors=True)
    return sorted(groups)


def _leave_releases(lake: Lake) -> bool:
    """Delete all releases, for each has the templates of all tasks; says whether one was in service. Gateways follow within seconds."""
    served = read_rollout(lake).serving is not None
    lake.delete(RELEASE)
    lake.delete(ROLLOUT)
    return served


def _forget_history(instance: dg.DagsterInstance, settings: Settings) -> None:
    """Take what panels quoted out of Dagster's history, with the runs that made them, and out of the free pages of its files."""
    made = instance.fetch_materializations(dg.AssetKey(QUOTES_PROMPTS), limit=10_000).records
    instance.wipe_assets([dg.AssetKey(QUOTES_PROMPTS)])
    for run_id in {record.event_log_entry.run_id for record in made}:
        instance.delete_run(run_id)
    for file in settings.dagster_home.rglob("*.db"):
        connection = sqlite3.connect(file)
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()


def _forget_retired(lake: Lake) -> None:
    """Tasks that only the erased calls had are retired now: their keys stay, their templates go."""
    written = lake.read(CLUSTERS)
    clusters = written.json("clusters")
    files = {name: written.bytes(name) for name in written.files if name != "clusters.json"}
    lake.write(CLUSTERS, None, files | {"clusters": clusters | {"retired": only_keys(clusters["retired"])}}, written.inputs)


def _make_again(settings: Settings, instance: dg.DagsterInstance, lake: Lake, groups: list[str]) -> None:
    """Tasks, assignments, examples and reports from what is left; adapters are trained by the sensor or the next `slm run`."""
    from slm_pipeline.definitions import defs

    loop, days = Loop(settings, lake, instance, defs), lake.partitions(CURATED)
    if not days:
        lake.delete(CLUSTERS)
        return
    if written := lake.read(CLUSTERS):
        # the keys stay; the sample of calls goes, so that tasks are found anew in what is left
        lake.write(CLUSTERS, None, {"clusters": written.json("clusters")})
    loop.execute("recluster", [QUOTES_PROMPTS])
    _forget_retired(lake)
    loop.execute("refresh_days", ["task_assignments"], days=(days[0], days[-1]))
    for group in sorted(set(groups) & set(group_keys(lake))):
        loop.execute("retrain_group", ["task_examples"], partition=group)
    loop.execute("report")
