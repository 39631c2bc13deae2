import dagster as dg
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s3_cluster import checks
from slm_pipeline.s3_cluster.assets import ASSIGNMENTS, CLUSTERS, EXAMPLES, task_assignments, task_clusters, task_examples
from slm_pipeline.s3_cluster.assignment import assign_calls
from slm_pipeline_tests.s3_cluster import traffic as made

DAYS = ["2026-10-01", "2026-10-02"]
CHECKS = dg.load_asset_checks_from_modules([checks])


@pytest.fixture
def lake(tmp_path, monkeypatch):
    for name, value in {"HOME": tmp_path, "OWN_GROUP_CALLS": 24, "MIN_GROUP_CALLS": 20}.items():
        monkeypatch.setenv(f"SLM_{name}", str(value))
    monkeypatch.setattr("slm_pipeline.s3_cluster.assets._token_counter", lambda settings: lambda text: len(text.split()))
    lake = Lake(str(tmp_path / "lake"))
    calls = made.traffic().assign(tokens=10, cost=None)
    for i, day in enumerate(DAYS):
        its = calls.iloc[i::2].assign(day=day)
        lake.write(CURATED, day, {"calls": its, "canaries": its.head(0).assign(leaked=False)})
    return lake


def run(instance, asset, partition=None):
    found = [check for check in CHECKS if asset.key in {key.asset_key for key in check.check_keys}]
    tags = {} if partition != "days" else {"dagster/asset_partition_range_start": DAYS[0], "dagster/asset_partition_range_end": DAYS[-1]}
    result = dg.materialize([asset, *found], instance=instance, partition_key=None if partition == "days" else partition, tags=tags)
    assert result.success
    assert [e.check_name for e in result.get_asset_check_evaluations() if not e.passed] == []
    return result


def test_from_curated_calls_to_examples(lake):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, task_assignments, "days")
        assert set(lake.read(ASSIGNMENTS, DAYS[0]).table("assignments")["reason"]) == {"no_clusters"}
        result = run(instance, task_clusters)
        assert len(result.get_asset_check_evaluations()) == 3
        groups = instance.get_dynamic_partitions("group")
        assert sorted(groups) == [group["key"] for group in lake.read(CLUSTERS).json("clusters")["groups"]]
        run(instance, task_assignments, "days")
        for group in groups:
            assert len(run(instance, task_examples, group).get_asset_check_evaluations()) == 1
        written = {asset: lake.read(asset, part).digest for asset, part in [(CLUSTERS, None), *((EXAMPLES, group) for group in groups)]}
        run(instance, task_clusters)
        run(instance, task_examples, groups[0])
        assert written == {
            asset: lake.read(asset, part).digest for asset, part in [(CLUSTERS, None), *((EXAMPLES, group) for group in groups)]
        }
        total = sum(len(lake.read(EXAMPLES, group).table("examples")) for group in groups)
    assert total > 150


def test_a_group_without_calls_says_so(lake):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, task_clusters)
        instance.add_dynamic_partitions("group", ["gone-00000000"])
        with pytest.raises(dg.Failure, match="gone-00000000"):
            run(instance, task_examples, "gone-00000000")


def test_where_only_groups_change_no_prompt_is_read_again(lake, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        run(instance, task_clusters)
        run(instance, task_assignments, "days")
        before = {day: lake.read(ASSIGNMENTS, day).table("assignments") for day in DAYS}
        monkeypatch.setenv("SLM_OWN_GROUP_CALLS", "1000")
        run(instance, task_clusters)
        with monkeypatch.context() as patch:
            patch.setattr("slm_pipeline.s3_cluster.assignment.Assigner", None)
            run(instance, task_assignments, "days")
        clusters = lake.read(CLUSTERS).json("clusters")
        for day in DAYS:
            now = lake.read(ASSIGNMENTS, day).table("assignments")
            assert now.equals(assign_calls(lake.read(CURATED, day).table("calls"), clusters))
            assert now["task"].equals(before[day]["task"])
            assert not now["group"].equals(before[day]["group"])
