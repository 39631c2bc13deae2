import datetime
from types import SimpleNamespace

import dagster as dg
import pytest

from slm_pipeline.automation.jobs import apply_retention, retrain_group
from slm_pipeline.automation.schedules import apply_retention_daily, retrain_weekly
from slm_pipeline.automation.sensors import follow_call_log, reassign_after_recluster, report_after_runs, retrain_on_fallbacks
from slm_pipeline.lake import Lake
from slm_pipeline.records import AgentCall, Answer, response_of
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import get_settings

GROUP = "calendar-0a1b2c3d"
NOON = 1_792_238_400  # 2026-10-17 08:00 UTC


@pytest.fixture
def lake(home):
    return Lake(get_settings().lake)


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def calls(first, n, day=0):
    response = response_of(Answer(text="yes"), "teacher")
    request = {"model": "teacher", "messages": [{"role": "user", "content": "?"}]}
    for i in range(first, first + n):
        yield AgentCall(
            id=str(i),
            timestamp=NOON + 86_400 * day,
            agent="a",
            session_id=f"s{i}",
            client_id="c",
            request=request,
            response=response,
        )


def tick(sensor, instance, cursor=None):
    """What one evaluation asks for, why it asks for nothing, and the cursor it leaves."""
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    result = sensor(context)
    skipped = isinstance(result, dg.SkipReason)
    requests = [] if skipped else [result] if isinstance(result, dg.RunRequest) else result
    return SimpleNamespace(run_requests=requests, skip_message=result.skip_message if skipped else None, cursor=context.cursor)


def fail(lake, total):
    lake.write("s6_refine/fallback_failures", None, {"failures": {GROUP: {"total": total}}})


def train(lake, seen):
    lake.write("s5_finetune/attempt", GROUP, {"attempt": {"failures_total": seen}})


def test_without_a_log_the_sensor_says_how_to_get_one(home, instance):
    assert "slm import" in tick(follow_call_log, instance).skip_message


def test_new_calls_refresh_their_days_once(home, instance):
    log = CallLog(get_settings(), Role.COLLECTOR)
    log.append(calls(0, 3))
    log.append(calls(3, 2, day=2))
    first = tick(follow_call_log, instance)
    assert [r.tags["dagster/asset_partition_range_start"] for r in first.run_requests] == ["2026-10-17"]
    assert [r.tags["dagster/asset_partition_range_end"] for r in first.run_requests] == ["2026-10-19"]
    assert not tick(follow_call_log, instance, first.cursor).run_requests
    log.append(calls(5, 1, day=2))
    second = tick(follow_call_log, instance, first.cursor)
    assert [r.tags["dagster/asset_partition_range_start"] for r in second.run_requests] == ["2026-10-19"]
    assert second.run_requests[0].run_key != first.run_requests[0].run_key


def test_days_that_slm_run_has_booked_are_not_refreshed_again(lake, instance):
    log = CallLog(get_settings(), Role.ADMIN)
    log.append(calls(0, 3))
    lake.write("s1_collect/raw_calls", "2026-10-17", {"manifest": {"last_seq": log.cursor()}})
    result = tick(follow_call_log, instance)
    assert not result.run_requests
    assert result.cursor == str(log.cursor())


def test_below_the_threshold_nothing_is_trained(lake, instance):
    train(lake, 5)
    fail(lake, 5 + get_settings().failure_threshold - 1)
    assert not tick(retrain_on_fallbacks, instance).run_requests


def test_at_the_threshold_one_run_and_a_second_tick_asks_for_no_other(lake, instance):
    train(lake, 5)
    fail(lake, 5 + get_settings().failure_threshold)
    first, second = tick(retrain_on_fallbacks, instance), tick(retrain_on_fallbacks, instance)
    assert [(r.partition_key, r.run_key) for r in first.run_requests] == [(GROUP, f"{GROUP}:25")]
    # Dagster starts a run key once
    assert [r.run_key for r in second.run_requests] == [f"{GROUP}:25"]
    train(lake, 25)
    assert not tick(retrain_on_fallbacks, instance).run_requests


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED])
def test_a_group_that_is_being_trained_waits_and_is_not_forgotten(lake, instance, status):
    train(lake, 0)
    fail(lake, 30)
    run = dg.DagsterRun(job_name=retrain_group.name, status=status, tags={"dagster/partition": GROUP})
    instance.add_run(run)
    assert not tick(retrain_on_fallbacks, instance).run_requests
    instance.report_run_canceled(run)
    assert [r.run_key for r in tick(retrain_on_fallbacks, instance).run_requests] == [f"{GROUP}:30"]


def test_failures_of_a_group_without_adapter_start_nothing(lake, instance):
    fail(lake, 1_000)
    assert not tick(retrain_on_fallbacks, instance).run_requests


def test_the_reports_follow_refreshed_days_and_evaluated_adapters():
    assert report_after_runs.default_status == dg.DefaultSensorStatus.RUNNING
    assert report_after_runs.job_name == "report"
    assert reassign_after_recluster.job_name == "refresh_days"


def test_every_week_each_group_is_offered_one_retraining(lake, instance):
    lake.write("s3_cluster/task_clusters", None, {"clusters": {"groups": [{"key": "b"}, {"key": "a"}]}})
    sunday = datetime.datetime(2026, 11, 22, 4, tzinfo=datetime.UTC)
    requests = retrain_weekly(dg.build_schedule_context(instance=instance, scheduled_execution_time=sunday))
    assert [(r.partition_key, r.run_key) for r in requests] == [("a", "a:2026-W47"), ("b", "b:2026-W47")]


def test_without_groups_the_weekly_retraining_is_skipped(home, instance):
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=datetime.datetime.now(datetime.UTC))
    assert isinstance(retrain_weekly(context), dg.SkipReason)


def test_a_group_whose_adapter_learned_from_erased_calls_is_trained_again_once(lake, instance):
    adapter = lake.write("s5_finetune/adapter", GROUP, {"training": {}}, keep_old=True)
    lake.write("s5_finetune/erased", GROUP, {"adapters": [adapter.digest]})
    (request,) = tick(retrain_on_fallbacks, instance).run_requests
    assert (request.partition_key, request.run_key) == (GROUP, f"{GROUP}:erased-{adapter.digest}")
    lake.write("s5_finetune/adapter", GROUP, {"training": {"without": "them"}}, keep_old=True)
    assert not tick(retrain_on_fallbacks, instance).run_requests


def test_old_calls_leave_the_log_once_retention_is_set(lake, instance, monkeypatch):
    log = CallLog(get_settings(), Role.ADMIN)
    log.append([*calls(0, 2), *calls(2, 1, day=3)])
    context = dg.build_schedule_context(instance, scheduled_execution_time=datetime.datetime(2026, 11, 1, 3, tzinfo=datetime.UTC))
    assert "retention_days" in apply_retention_daily(context).skip_message
    age = (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromtimestamp(NOON, datetime.UTC)).days
    monkeypatch.setenv("SLM_RETENTION_DAYS", str(age - 1))
    assert apply_retention_daily(context).run_key == "2026-11-01"
    assert apply_retention.execute_in_process(instance=instance).success
    assert [c.id for day in log.days() for c in log.read(day)] == ["2"]
