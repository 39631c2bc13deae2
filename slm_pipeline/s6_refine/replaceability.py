"""How much of the agents' traffic SLMs can take: calls whose answer does at least as well as the LLM's, up to a stated margin.

In each group the calls that its champion has not learned from stand in the order of the verifier's score. The SLM takes as many of the
surest as keep the share that it gets wrong, where the LLM is right, within the margin. Of tasks with a checker that knows what is right, it
takes what that passes. A group without a champion takes nothing, nor do
calls that belong to no group. This says what could be taken; what is promised is what a release certifies.
"""

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd

from slm_pipeline.records import Json

PAPER = {"MetaGPT": 0.60, "Open Operator": 0.40, "Cradle": 0.70}
"""Shares of LLM calls that SLMs could take over, as Belcak et al. 2025 (arXiv 2506.02153, appendix B) estimate from reading code."""
PASSED, NEVER = 2.0, -1.0
"""Scores of calls that a checker decides; a verifier's are probabilities."""


def replaceability(
    outcomes: Mapping[str, pd.DataFrame], traffic: pd.DataFrame, groups: Mapping[str, str | None], margin: float, samples: int, seed: int
) -> Json:
    """`calls`, `tokens` and `cost`: the share of all traffic that SLMs can take, with 95 % intervals that resample sessions within groups;
    None where nothing is known of it. `agents`: the same for each, largest first. `tasks`: a row for each, largest first, and one for
    calls of no task; a task that no SLM was tried on counts as its group.

    `outcomes`: by group, rows of outcomes with `score`. `traffic`: a row for each agent and task, or no task, with calls, tokens and cost
    (`costs.by_agent_and_task`). `groups`: each task's.
    """
    rng = np.random.default_rng(seed)
    drawn: dict[str, np.ndarray] = {}
    for group, rows in sorted(outcomes.items()):
        if len(rows):
            drawn |= _drawn(rows, [task for task, its in groups.items() if its == group], margin, samples, rng)
    none = np.zeros(samples + 1)
    taken_of = [drawn.get(task, none) if pd.notna(task) else none for task in traffic["task"]]
    shares = np.stack(taken_of) if len(traffic) else np.zeros((0, samples + 1))
    agents = traffic.groupby("agent")["calls"].sum().sort_values(ascending=False, kind="stable").index
    counted = pd.concat(outcomes.values())["task"].value_counts() if outcomes else {}
    return {
        "margin": margin,
        **_weighted(traffic, shares),
        "agents": [{"agent": agent} | _weighted(traffic, shares, (traffic["agent"] == agent).to_numpy()) for agent in agents],
        "tasks": _tasks(traffic, drawn, none, groups, counted),
    }


def by_checker(rows: pd.DataFrame, gold: Collection[str]) -> pd.DataFrame:
    """Outcomes in which calls of the tasks `gold` are surest where their checker passed the answer, and else never taken."""
    known = np.where(rows["passed"] & (rows["score"] >= 0), PASSED, NEVER)
    return rows.assign(score=rows["score"].where(~rows["task"].isin(gold), known))


def taken(rows: pd.DataFrame, margin: float) -> np.ndarray:
    """Which calls the SLM takes: the surest ones, as many as keep its losses among them within `margin`; never one that it is not asked."""
    order = np.argsort(-rows["score"].to_numpy(), kind="stable")
    lost = ((1 - rows["slm"]) * rows["llm"]).to_numpy()[order]
    fine = (np.cumsum(lost) <= margin * np.arange(1, len(lost) + 1) + 1e-9) & (rows["score"].to_numpy()[order] >= 0)
    last = int(np.flatnonzero(fine)[-1]) + 1 if fine.any() else 0
    mask = np.zeros(len(rows), bool)
    mask[order[:last]] = True
    return mask


def _drawn(rows: pd.DataFrame, tasks: list[str], margin: float, samples: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """By task, the share taken of its calls, then the same of each resampling of the group's sessions: (1 + samples) each."""
    places = [np.array(at) for _, at in sorted(rows.groupby("session_id").indices.items())]
    draws = (np.concatenate([places[i] for i in rng.integers(0, len(places), len(places))]) for _ in range(samples))
    found: dict[str, list[float]] = {task: [] for task in tasks}
    for draw in (np.arange(len(rows)), *draws):
        drawn = rows.iloc[draw]
        mask, of = taken(drawn, margin), drawn["task"].to_numpy()
        for task, shares in found.items():
            its = of == task
            shares.append(float(mask[its].mean() if its.any() else mask.mean()))
    return {task: np.array(shares) for task, shares in found.items()}


def _weighted(traffic: pd.DataFrame, shares: np.ndarray, of: np.ndarray | None = None) -> Json:
    """The shares of calls, tokens and cost that are taken of the rows of traffic that `of` says, or of all."""
    found = {}
    for column in ("calls", "tokens", "cost"):
        weights = traffic[column].fillna(0).to_numpy(float) * (1 if of is None else of)
        found[column] = _interval(weights @ shares / weights.sum()) if weights.sum() else None
    return found


def _interval(values: np.ndarray) -> Json:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def _tasks(
    traffic: pd.DataFrame, drawn: Mapping[str, np.ndarray], none: np.ndarray, groups: Mapping[str, str | None], counted: Mapping[str, int]
) -> list[Json]:
    columns = ["calls", "tokens", "cost"]
    totals = traffic.groupby("task", dropna=False)[columns].sum(min_count=1)
    shares = totals / totals.sum().replace(0, np.nan)
    rows = []
    for task in totals.sort_values("calls", ascending=False, kind="stable").index:
        known = task if pd.notna(task) else None
        share = {
            f"{column}_share": _known(shares[column][totals.index.isna()].iloc[0] if known is None else shares.at[task, column])
            for column in columns
        }
        interval = _interval(drawn.get(task, none))
        at = {"taken": interval["mean"], "low": interval["low"], "high": interval["high"], "n": int(counted.get(task, 0)) if known else 0}
        rows.append({"task": known, "group": groups.get(known) if known else None} | share | at)
    return rows


def _known(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
