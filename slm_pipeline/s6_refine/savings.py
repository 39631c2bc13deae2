"""What SLMs have served and saved since the first release: money with idle hours and audits, time, and how often they were wrong."""

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from slm_pipeline.intervals import mean_interval
from slm_pipeline.records import CHECKED, Json
from slm_pipeline.settings import Settings

HOUR = 3600


def savings(calls: pd.DataFrame, settings: Settings) -> Json | None:
    """`in_all`, and rows by `rounds` (releases, in the order in which they came), `agents` and `tasks`; None before the first release.

    `calls`: costed, in the order of time. The machine that runs SLMs costs `machine_hour_usd`, busy or idle, from the first call under a
    release to the last; it is charged in all and to rounds. An answer is wrong if the LLM, asked as an audit, says otherwise, unless
    a checker knew it to be right; the share has the exact binomial interval (Clopper & Pearson 1934), and is alpha until there are audits:
    that is what releases promise.
    """
    calls = _under_a_release(calls)
    if calls.empty:
        return None
    usual = calls.groupby("task", dropna=False)["llm_ms"].mean()
    calls = calls.assign(usual_ms=calls["llm_ms"].fillna(calls["task"].map(usual)))
    return {
        "in_all": _row(calls, settings, _hours(calls) * settings.machine_hour_usd),
        "rounds": [
            {"release": release} | _row(of, settings, _hours(of) * settings.machine_hour_usd)
            for release, of in calls.groupby("release", sort=False)
        ],
        "agents": [{"agent": agent} | _row(of, settings) for agent, of in _largest_first(calls, "agent")],
        "tasks": [{"task": task} | _row(of, settings) for task, of in _largest_first(calls[calls["task"].notna()], "task")],
        "alpha": settings.alpha,
        "machine_hour_usd": settings.machine_hour_usd,
    }


def _under_a_release(calls: pd.DataFrame) -> pd.DataFrame:
    """The calls since the first release, with that which was in service in `release`."""
    return calls.assign(release=calls["release"].ffill()).dropna(subset="release")


def _largest_first(calls: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    return sorted(calls.groupby(column), key=lambda found: (-len(found[1]), found[0]))


def _hours(calls: pd.DataFrame) -> float:
    return float(calls["timestamp"].iloc[-1] - calls["timestamp"].iloc[0]) / HOUR


def _row(calls: pd.DataFrame, settings: Settings, machine_usd: float = 0.0) -> Json:
    slm = calls["served_by"] == "slm"
    share = mean_interval(slm.astype(float), calls["session_id"], settings.bootstrap_samples, settings.seed)
    served = calls[slm]
    wrong = _wrong(served, settings.alpha)
    priced = calls[calls["alone_usd"].notna()]
    alone = float(priced["alone_usd"].sum()) if len(priced) else None
    spent = float(priced["usd"].sum()) + machine_usd if len(priced) else None
    return {
        "calls": len(calls),
        "slm": int(slm.sum()),
        "share": {"mean": share.mean, "low": share.low, "high": share.high},
        "checked": int((served["reason"] == CHECKED).sum()),
        "audits": wrong["n"],
        "wrong": wrong,
        "priced": len(priced),
        "alone_usd": alone,
        "spent_usd": spent,
        "saved_usd": None if alone is None else alone - spent,
        **_per_correct(spent, len(priced), int((priced["served_by"] == "slm").sum()), wrong),
        "alone_usd_per_correct": None if alone is None else alone / len(priced),
        "slm_ms": _mean(served["latency_ms"]),
        "llm_ms": _mean(served["usual_ms"]),
        "saved_seconds": _saved_seconds(calls, slm),
        "reasons": {str(reason): n / len(calls) for reason, n in calls.loc[~slm, "reason"].value_counts().items()},
        "since": float(calls["timestamp"].iloc[0]),
        "until": float(calls["timestamp"].iloc[-1]),
    }


def _wrong(served: pd.DataFrame, alpha: float) -> Json:
    """How often served answers are wrong; `n` audits say it of those that no checker has passed."""
    unsure = served[served["reason"] != CHECKED]
    share, agrees = len(unsure) / len(served) if len(served) else 1.0, unsure["agrees"].dropna()
    n, wrong = len(agrees), int((1 - agrees).sum())
    if n == 0:
        return {"mean": alpha * share, "low": 0.0, "high": alpha * share, "n": 0}
    exact = binomtest(wrong, n).proportion_ci(0.95)
    return {"mean": wrong / n * share, "low": float(exact.low) * share, "high": float(exact.high) * share, "n": n}


def _per_correct(spent: float | None, calls: int, slm: int, wrong: Json) -> Json:
    """Money for each call that was answered right; what the LLM answers counts as right."""

    def at(share: float) -> float | None:
        right = calls - slm * share
        return None if spent is None or right <= 0 else spent / right

    names = {"usd_per_correct": "mean", "usd_per_correct_low": "low", "usd_per_correct_high": "high"}
    return {name: at(wrong[bound]) for name, bound in names.items()}


def _saved_seconds(calls: pd.DataFrame, slm: pd.Series) -> float:
    """Served calls took less than the LLM takes for their task; those that an SLM was asked in vain took longer."""
    gained = (calls["usual_ms"] - calls["latency_ms"])[slm].sum()
    return float(gained - calls.loc[~slm, "slm_ms"].sum()) / 1000


def _mean(values: pd.Series) -> float | None:
    mean = values.mean()
    return None if np.isnan(mean) else float(mean)
