"""What sensors and commands read about the state of the loop: from the lake and from Dagster's runs."""

import dagster as dg

from slm_pipeline.lake import Lake

PARTITION_TAG = "dagster/partition"
ERASED = "s5_finetune/erased"
FINISHED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
UNFINISHED = [status for status in dg.DagsterRunStatus if status not in FINISHED]


def group_keys(lake: Lake) -> list[str]:
    """The groups of the newest clustering, sorted."""
    clusters = lake.read("s3_cluster/task_clusters")
    return sorted(group["key"] for group in clusters.json("clusters")["groups"]) if clusters else []


def booked_until(lake: Lake, day: str) -> int:
    """The highest sequence number of the log that `raw_calls` has booked for this day; 0 if none."""
    manifest = lake.read("s1_collect/raw_calls", day)
    return (manifest.json("manifest")["last_seq"] or 0) if manifest else 0


def failure_totals(lake: Lake) -> dict[str, int]:
    """Failures per group since the first day."""
    failures = lake.read("s6_refine/fallback_failures")
    return {group: counts["total"] for group, counts in failures.json("failures").items()} if failures else {}


def failures_seen(lake: Lake) -> dict[str, int]:
    """Failures per group that its newest adapter has had the chance to be trained on; groups without adapter are absent."""
    attempts = {group: lake.read("s5_finetune/attempt", group) for group in lake.partitions("s5_finetune/attempt")}
    return {group: written.json("attempt")["failures_total"] for group, written in attempts.items() if written}


def trained_on_erased(lake: Lake) -> dict[str, str]:
    """Groups whose newest adapter was trained on calls of a client that has been erased since, with that adapter's digest."""
    marked = {}
    for group in lake.partitions(ERASED):
        adapter = lake.read("s5_finetune/adapter", group)
        if adapter and adapter.digest in lake.read(ERASED, group).json("adapters"):
            marked[group] = adapter.digest
    return marked


def unfinished_runs(instance: dg.DagsterInstance, job: str) -> list[dg.DagsterRun]:
    """Runs of a job that are queued, starting or running."""
    return instance.get_runs(dg.RunsFilter(job_name=job, statuses=UNFINISHED))
