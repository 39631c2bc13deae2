"""How much traffic each task has, by day: counted once a day beside the assignments, so that reading it never reads calls."""

from collections.abc import Iterable

import pandas as pd

from slm_pipeline.lake import Lake

ASSIGNMENTS = "s3_cluster/task_assignments"
COLUMNS = {"task": "str", "day": "str", "calls": "int64", "tokens": "float64", "cost": "float64"}


def day_traffic(curated: pd.DataFrame, assignments: pd.DataFrame) -> pd.DataFrame:
    """COLUMNS of one day, a row for each task and one without task for the calls that have none, sorted by task.

    `curated`: id, day, tokens, cost of the day's calls; `assignments`: id and task. Tokens and cost are sums over the calls that
    state them, NaN where none does.
    """
    calls = assignments[["id", "task"]].merge(curated[["id", "day", "tokens", "cost"]], on="id", validate="one_to_one")
    return _summed(calls.assign(calls=1))


def read_traffic(lake: Lake) -> pd.DataFrame:
    """The counts of all days, as `traffic` gives them; a day that was assigned before counts were kept has none."""
    days = (lake.read(ASSIGNMENTS, day) for day in lake.partitions(ASSIGNMENTS))
    return traffic(day.table("traffic") for day in days if "traffic.parquet" in day.files)


def traffic(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """The counts of all days in one table, COLUMNS, sorted by day and task; `tables` are those of `day_traffic`."""
    return _summed(pd.concat([pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS), *tables]))


def by_task(counts: pd.DataFrame) -> pd.DataFrame:
    """Calls, tokens and cost of each task over all days, and their shares of everything; index: task, None for calls without one.

    Shares of tokens and cost are NaN where nothing is recorded.
    """
    totals = counts.groupby("task", dropna=False)[["calls", "tokens", "cost"]].sum(min_count=1)
    for column in ("calls", "tokens", "cost"):
        totals[f"{column}_share"] = totals[column] / (totals[column].sum() or float("nan"))
    return totals


def by_day(counts: pd.DataFrame) -> pd.DataFrame:
    """Calls of each task (columns) on each day (rows), days without calls included; a call without task is of "unassigned"."""
    if counts.empty:
        return pd.DataFrame()
    table = counts.assign(task=counts["task"].fillna("unassigned")).pivot_table(
        index="day", columns="task", values="calls", aggfunc="sum", fill_value=0
    )
    days = pd.date_range(table.index.min(), table.index.max(), freq="D").strftime("%Y-%m-%d")
    return table.reindex(days, fill_value=0)


def _summed(calls: pd.DataFrame) -> pd.DataFrame:
    calls = calls.astype({"tokens": "float64", "cost": "float64"})
    sums = calls.groupby(["day", "task"], dropna=False, as_index=False)[["calls", "tokens", "cost"]].sum(min_count=1)
    return sums[list(COLUMNS)].astype(COLUMNS)
