import pandas as pd
import pytest

from slm_pipeline.s3_cluster.traffic import by_day, by_task, day_traffic, traffic


def day(name, tasks, tokens, cost):
    ids = [f"{name}-{i}" for i in range(len(tasks))]
    curated = pd.DataFrame({"id": ids, "day": name, "tokens": pd.array(tokens, dtype="Int64"), "cost": pd.array(cost, dtype="float64")})
    assigned = pd.DataFrame({"id": ids[::-1], "task": pd.array(tasks[::-1], dtype="str")})
    return day_traffic(curated, assigned)


@pytest.fixture
def counts():
    first = day("2026-10-01", ["sort", "sort", None], [10, None, 30], [None, None, None])
    third = day("2026-10-03", ["count", "sort", "sort"], [60, 5, 5], [0.5, 0.25, 0.25])
    return traffic([third, first])


def test_shares_cover_the_calls_without_task_and_what_is_not_recorded_stays_unknown(counts):
    totals = by_task(counts)
    assert totals["calls_share"].sum() == pytest.approx(1)
    assert totals.loc["sort", ["calls", "tokens", "cost"]].tolist() == [4, 20, 0.5]
    none = totals[totals.index.isna()].iloc[0]
    assert none["calls"] == 1
    assert none["tokens"] == 30
    assert pd.isna(none["cost"])
    assert pd.isna(none["cost_share"])


def test_growth_shows_days_without_calls(counts):
    daily = by_day(counts)
    assert list(daily.index) == ["2026-10-01", "2026-10-02", "2026-10-03"]
    assert daily["sort"].tolist() == [2, 0, 2]
    assert daily["unassigned"].tolist() == [1, 0, 0]


def test_no_traffic_is_no_rows():
    assert by_task(traffic([])).empty
    assert by_day(traffic([])).empty
