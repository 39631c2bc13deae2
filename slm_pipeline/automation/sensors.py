"""What closes the loop without a click: new calls refresh their days, refreshed days refresh the reports, and a group
whose adapter failed often enough is trained again.

Every sensor compares the state it finds (log, lake, runs) instead of consuming events, so a tick that is skipped or a
daemon that was down loses nothing.
"""

import dagster as dg

from slm_pipeline.automation.jobs import recluster, refresh_days, report, retrain_group
from slm_pipeline.automation.retrain import groups_due
from slm_pipeline.automation.state import PARTITION_TAG, booked_until, failure_totals, failures_seen, trained_on_erased, unfinished_runs
from slm_pipeline.lake import Lake
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.database import log_exists
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s3_cluster.refresh import days_to_assign
from slm_pipeline.settings import get_settings

INTERVAL = get_settings().sensor_seconds
RUNNING = dg.DefaultSensorStatus.RUNNING


def day_range_tags(first: str, last: str) -> dict[str, str]:
    """The tags of a single run over all days from `first` to `last`."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


@dg.sensor(
    job=refresh_days,
    minimum_interval_seconds=INTERVAL,
    default_status=RUNNING,
    description="Follows the log's cursor and refreshes the days that received calls: one run, over the range of these days.",
)
def follow_call_log(context: dg.SensorEvaluationContext):
    settings = get_settings()
    if not log_exists(settings):
        return dg.SkipReason("There is no call log yet: the gateway, `slm import FILE` or `slm sample` make one.")
    after, lake = int(context.cursor or 0), Lake(settings.lake)
    touched = CallLog(settings, Role.PIPELINE).touched_days(after)
    if not touched:
        return dg.SkipReason(f"No call has arrived since number {after} of the log.")
    newest = max(touched.values())
    days = sorted(day for day, seq in touched.items() if booked_until(lake, day) < seq)
    context.update_cursor(str(newest))
    if not days:
        return dg.SkipReason(f"Calls up to number {newest} of the log are booked already.")
    return dg.RunRequest(run_key=f"{days[0]}..{days[-1]}:{newest}", tags=day_range_tags(days[0], days[-1]))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[refresh_days, retrain_group],
    request_job=report,
    minimum_interval_seconds=INTERVAL,
    description="After days were refreshed or an adapter was evaluated: counts failures and draws the scoreboard again.",
    default_status=RUNNING,
)
def report_after_runs(context: dg.RunStatusSensorContext):
    waiting = context.instance.get_runs(dg.RunsFilter(job_name=report.name, statuses=[dg.DagsterRunStatus.QUEUED]))
    if waiting:
        return dg.SkipReason(f"Run {waiting[0].run_id} is queued and will include this.")
    return dg.RunRequest(run_key=context.dagster_run.run_id)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[recluster],
    request_job=refresh_days,
    minimum_interval_seconds=INTERVAL,
    description="After tasks were found anew: assigns the calls of the days that this touches.",
    default_status=RUNNING,
)
def reassign_after_recluster(context: dg.RunStatusSensorContext):
    days = days_to_assign(Lake(get_settings().lake))
    if not days:
        return dg.SkipReason("Every day is assigned to the newest tasks.")
    return dg.RunRequest(run_key=context.dagster_run.run_id, tags=day_range_tags(days[0], days[-1]))


@dg.sensor(
    job=retrain_group,
    minimum_interval_seconds=INTERVAL,
    default_status=RUNNING,
    description="Starts one retraining of a group whose failures since its newest adapter (`adapter`) have reached the threshold; "
    "counts them in `fallback_failures`. Also of a group whose adapter was trained on calls that `slm erase` has erased.",
)
def retrain_on_fallbacks(context: dg.SensorEvaluationContext):
    # an asset sensor would consume the event of a tick that is skipped because a run is going on, and forget its failures
    settings = get_settings()
    lake = Lake(settings.lake)
    failures, seen = failure_totals(lake), failures_seen(lake)
    busy = {run.tags.get(PARTITION_TAG) for run in unfinished_runs(context.instance, retrain_group.name)}
    due = groups_due(failures, seen, trained_on_erased(lake), busy, settings.failure_threshold)
    if not due:
        counts = ", ".join(f"{group}: {failures.get(group, 0) - n}" for group, n in sorted(seen.items())) or "no adapter yet"
        return dg.SkipReason(f"No group has {settings.failure_threshold} failures since its newest adapter and no run ({counts}).")
    return [dg.RunRequest(run_key=f"{group}:{watermark}", partition_key=group) for group, watermark in due.items()]


sensors = [follow_call_log, report_after_runs, reassign_after_recluster, retrain_on_fallbacks]
