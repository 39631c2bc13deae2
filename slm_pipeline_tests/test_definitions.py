"""What Dagster loads: a snapshot, so that a change of the graph is seen in review."""

import subprocess
import sys

import dagster as dg
import pytest

from slm_pipeline.definitions import defs

DAYS, GROUPS = "days", "groups"

ASSETS = {
    "raw_calls": ("s1_collect", DAYS, []),
    "curated_calls": ("s2_curate", DAYS, ["raw_calls"]),
    "task_clusters": ("s3_cluster", None, ["curated_calls"]),
    "task_assignments": ("s3_cluster", DAYS, ["curated_calls", "task_clusters"]),
    "task_examples": ("s3_cluster", GROUPS, ["task_assignments", "task_clusters"]),
    "candidate_models": ("s4_select", None, []),
    "selected_base": ("s4_select", GROUPS, ["candidate_models", "task_examples"]),
    "adapter": ("s5_finetune", GROUPS, ["selected_base", "task_examples"]),
    "task_verdicts": ("s5_finetune", GROUPS, ["adapter", "task_examples"]),
    "learning_curve": ("s5_finetune", GROUPS, ["adapter", "task_examples"]),
    "eval_report": ("s6_refine", GROUPS, ["adapter", "task_examples"]),
    "fallback_failures": ("s6_refine", None, ["curated_calls", "task_assignments"]),
    "scoreboard": ("s6_refine", None, ["eval_report", "fallback_failures"]),
    "verifier_model": ("s6_refine", GROUPS, ["eval_report"]),
    "router_model": ("s6_refine", GROUPS, ["eval_report", "verifier_model"]),
    "release": ("s6_refine", None, ["router_model"]),
    "replaceability": ("s6_refine", None, ["raw_calls", "router_model", "task_assignments"]),
    "savings": ("s6_refine", None, ["raw_calls", "release", "task_assignments"]),
}
JOBS = {
    "refresh_days": {"raw_calls", "curated_calls", "task_assignments"},
    "recluster": {"task_clusters", "candidate_models"},
    "retrain_group": {"task_examples", "selected_base", "adapter", "task_verdicts", "eval_report", "verifier_model", "router_model"},
    "report": {"fallback_failures", "scoreboard", "release", "replaceability", "savings"},
}
SENSORS = {"follow_call_log", "reassign_after_recluster", "report_after_runs", "retrain_on_fallbacks"}
SCHEDULES = {"recluster_daily": "0 2 * * *", "retrain_weekly": "0 4 * * 0", "apply_retention_daily": "0 3 * * *"}

repository = defs.get_repository_def()
graph = repository.asset_graph


def node(name):
    return graph.get(dg.AssetKey(name))


def partitioning(name):
    partitions = node(name).partitions_def
    if isinstance(partitions, dg.DynamicPartitionsDefinition):
        assert partitions.name == "group"
        return GROUPS
    return DAYS if isinstance(partitions, dg.DailyPartitionsDefinition) else None


def test_the_asset_graph():
    names = [key.path[-1] for key in graph.get_all_asset_keys()]
    found = {name: (node(name).group_name, partitioning(name), sorted(key.path[-1] for key in node(name).parent_keys)) for name in names}
    assert found == ASSETS


@pytest.mark.parametrize("name", ASSETS)
def test_every_asset_says_what_it_is_and_whose(name):
    asset = node(name)
    assert len(asset.description or "") > 40
    assert asset.owners
    assert asset.kinds


@pytest.mark.parametrize("name", ["adapter", "fallback_failures"])
def test_both_ends_of_the_loop_name_the_sensor_that_closes_it(name):
    assert "retrain_on_fallbacks" in node(name).description


def test_every_stage_is_checked():
    checked = {key.asset_key.path[-1] for key in graph.asset_check_keys}
    stages = {ASSETS[name][0] for name in checked}
    assert stages == {group for group, _, _ in ASSETS.values()}
    assert all(graph.get(key).description for key in graph.asset_check_keys)


def test_the_training_pool_is_the_adapters():
    assert node("adapter").assets_def.op.pool == "training"


@pytest.mark.parametrize("name", JOBS)
def test_a_job_holds_its_assets(name):
    job = repository.get_job(name)
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == JOBS[name]
    assert job.executor_def.name == "in_process"
    assert job.tags["slm/one_at_a_time"] == name


def test_sensors_and_schedules_run_without_a_click():
    assert {sensor.name for sensor in repository.sensor_defs} == SENSORS
    assert {schedule.name: schedule.cron_schedule for schedule in repository.schedule_defs} == SCHEDULES
    for automation in [*repository.sensor_defs, *repository.schedule_defs]:
        assert automation.default_status.value == "RUNNING"
        assert automation.description


def test_loading_the_definitions_imports_no_heavy_library():
    script = (
        "import slm_pipeline.definitions as d, sys; d.defs.get_repository_def();"
        "print(*{'torch', 'transformers', 'peft', 'xllamacpp', 'mlflow', 'sklearn', 'matplotlib', 'lm_eval'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split() == []
