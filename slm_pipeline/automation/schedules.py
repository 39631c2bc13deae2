"""What happens by the clock: every night tasks are looked for if something asks for it, every week groups are offered a retraining."""

import dagster as dg

from slm_pipeline.automation.jobs import apply_retention, recluster, retrain_group
from slm_pipeline.automation.state import group_keys
from slm_pipeline.lake import Lake
from slm_pipeline.settings import get_settings

recluster_daily = dg.ScheduleDefinition(
    name="recluster_daily",
    job=recluster,
    cron_schedule="0 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 02:00 UTC: finds tasks anew once unassigned calls have gathered or traffic has grown; known keys stay.",
)


@dg.schedule(
    job=retrain_group,
    cron_schedule="0 4 * * 0",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sundays at 04:00 UTC: one run per group. A group whose training digest is unchanged is not trained again.",
)
def retrain_weekly(context: dg.ScheduleEvaluationContext):
    year, week, _ = context.scheduled_execution_time.isocalendar()
    groups = group_keys(Lake(get_settings().lake))
    if not groups:
        return dg.SkipReason("There are no groups yet: no traffic was clustered.")
    return [dg.RunRequest(run_key=f"{group}:{year}-W{week:02}", partition_key=group) for group in groups]


@dg.schedule(
    job=apply_retention,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Daily at 03:00 UTC, if `retention_days` is set: older calls leave the log.",
)
def apply_retention_daily(context: dg.ScheduleEvaluationContext):
    if get_settings().retention_days is None:
        return dg.SkipReason("`retention_days` is not set: calls stay in the log.")
    return dg.RunRequest(run_key=f"{context.scheduled_execution_time:%Y-%m-%d}")


schedules = [recluster_daily, retrain_weekly, apply_retention_daily]
