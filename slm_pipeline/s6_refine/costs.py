"""What calls cost, and what they would have cost had the LLM answered them all."""

import numpy as np
import pandas as pd

from slm_pipeline.lake import Lake
from slm_pipeline.prices import MILLION, Prices, price_of
from slm_pipeline.records import Json
from slm_pipeline.s1_collect.usage import read_usage
from slm_pipeline.s3_cluster.traffic import ASSIGNMENTS

DAY = 86_400


def read_calls(lake: Lake) -> pd.DataFrame:
    """`usage.TYPES` of all booked calls, with `task` (missing for calls without one), in the order of time."""
    days = (lake.read(ASSIGNMENTS, day).table("assignments", ["id", "task"]) for day in lake.partitions(ASSIGNMENTS))
    tasks = pd.concat([pd.DataFrame(columns=["id", "task"], dtype="str"), *days]).drop_duplicates("id", keep="last").set_index("id")["task"]
    calls = read_usage(lake)
    return calls.assign(task=calls["id"].map(tasks).astype("str")).sort_values("timestamp", kind="stable", ignore_index=True)


def costed(calls: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """The calls with `tokens`, `alone_usd` and `usd`.

    `tokens`: what the LLM reads and writes for it; where nobody counted, by the length of request and answer, at the ratio of tokens to
    length that the counted calls have. `alone_usd`: what the LLM takes for it, as recorded, else by the table of prices; missing where
    neither says. `usd`: what was paid for: nothing where an SLM served, unless the LLM was asked as an audit.
    """
    calls = calls.copy()
    for what in ("prompt", "completion"):
        calls[f"{what}_tokens"] = calls[f"{what}_tokens"].fillna(calls[f"{what}_estimate"] * _tokens_per_estimate(calls, what))
    calls["tokens"] = calls["prompt_tokens"] + calls["completion_tokens"]
    calls["alone_usd"] = calls["cost"].fillna(_by_table(calls, prices))
    calls["usd"] = calls["alone_usd"].where((calls["served_by"] != "slm") | calls["agrees"].notna(), 0.0)
    return calls


def by_agent_and_task(calls: pd.DataFrame) -> pd.DataFrame:
    """Of costed calls: agent, task, calls, tokens and cost, as if the LLM had answered; a row for each agent and task, or no task."""
    rows = calls.assign(calls=1, cost=calls["alone_usd"]).groupby(["agent", "task"], dropna=False, as_index=False)
    return rows[["calls", "tokens", "cost"]].sum(min_count=1)


def unpriced(calls: pd.DataFrame) -> Json:
    """How many of the calls have no cost, and of which models they are."""
    without = calls[calls["alone_usd"].isna()]
    models = without["model"].value_counts().sort_index()
    return {"calls": len(without), "of": len(calls), "models": {str(model): int(n) for model, n in models.items()}}


def _tokens_per_estimate(calls: pd.DataFrame, what: str) -> float:
    counted = calls[calls[f"{what}_tokens"].notna() & (calls[f"{what}_estimate"] > 0)]
    return counted[f"{what}_tokens"].sum() / counted[f"{what}_estimate"].sum() if len(counted) else 1.0


def _by_table(calls: pd.DataFrame, prices: Prices) -> pd.Series:
    """What the LLM takes by the table; looked up once for each model and day."""
    owners = list(zip(calls["model"], (calls["timestamp"] // DAY).tolist(), strict=True))
    known = {(model, day): price_of(model, day * DAY, prices) for model, day in set(owners)}
    found = [known[owner] for owner in owners]
    read, written = (np.array([getattr(price, rate) if price else np.nan for price in found], float) for rate in ("input", "output"))
    return (calls["prompt_tokens"] * read + calls["completion_tokens"] * written) / MILLION
