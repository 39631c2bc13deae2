"""How much of the agents' traffic SLMs can take: calls whose answer does at least as well as the LLM's, up to a stated margin.

In each group the calls that its champion has not learned from stand in the order of the verifier's score. The SLM takes as many of the
surest as keep the share that it gets wrong, where the LLM is right, within the margin. A group without a champion takes nothing, nor do
calls that belong to no group. This says what could be taken; what is promised is what a release certifies.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from slm_pipeline.records import Json

PAPER = {"MetaGPT": 0.60, "Open Operator": 0.40, "Cradle": 0.70}
"""Shares of LLM calls that SLMs could take over, as Belcak et al. 2025 (arXiv 2506.02153, appendix B) estimate from reading code."""


def replaceability(
    outcomes: Mapping[str, pd.DataFrame], counts: pd.DataFrame, groups: Mapping[str, str | None], margin: float, samples: int, seed: int
) -> Json:
    """`calls` and `tokens`: the share of all traffic that SLMs can take, with 95 % intervals that resample sessions within groups; `tokens`
    is None where none are recorded. `tasks`: a row for each, largest first, and one for calls of no task.

    `outcomes`: by group, rows of outcomes with `score`. `counts`: calls and tokens by task (`traffic.by_task`). `groups`: each task's.
    """
    owner = pd.Series([groups.get(task) for task in counts.index], counts.index, dtype=object)
    rng = np.random.default_rng(seed)
    drawn = {group: _drawn(rows, margin, samples, rng) for group, rows in sorted(outcomes.items())}
    shares = {}
    for column in ("calls", "tokens"):
        of, total = counts[column].fillna(0), counts[column].sum()
        parts = [drawn[group] * of[owner == group].sum() / total for group in drawn] if total else []
        shares[column] = _interval(sum(parts) if parts else np.zeros(samples + 1)) if total else None
    return {"margin": margin, **shares, "tasks": _tasks(outcomes, counts, owner, margin)}


def taken(rows: pd.DataFrame, margin: float) -> np.ndarray:
    """Which calls the SLM takes: the surest ones, as many as keep its losses among them within `margin`; never one that it is not asked."""
    order = np.argsort(-rows["score"].to_numpy(), kind="stable")
    lost = ((1 - rows["slm"]) * rows["llm"]).to_numpy()[order]
    fine = (np.cumsum(lost) <= margin * np.arange(1, len(lost) + 1) + 1e-9) & (rows["score"].to_numpy()[order] >= 0)
    last = int(np.flatnonzero(fine)[-1]) + 1 if fine.any() else 0
    mask = np.zeros(len(rows), bool)
    mask[order[:last]] = True
    return mask


def _drawn(rows: pd.DataFrame, margin: float, samples: int, rng: np.random.Generator) -> np.ndarray:
    """The share taken of a group's calls, then the same of each resampling of its sessions: (1 + samples)."""
    if rows.empty:
        return np.zeros(samples + 1)
    places = [np.array(at) for _, at in sorted(rows.groupby("session_id").indices.items())]
    draws = (np.concatenate([places[i] for i in rng.integers(0, len(places), len(places))]) for _ in range(samples))
    return np.array([taken(rows, margin).mean(), *(taken(rows.iloc[draw], margin).mean() for draw in draws)])


def _interval(values: np.ndarray) -> Json:
    low, high = np.quantile(values[1:], (0.025, 0.975)) if len(values) > 1 else (None, None)
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def _tasks(outcomes: Mapping[str, pd.DataFrame], counts: pd.DataFrame, owner: pd.Series, margin: float) -> list[Json]:
    found = {}
    for rows in outcomes.values():
        for task, its in rows.assign(taken=taken(rows, margin)).groupby("task"):
            found[task] = (float(its["taken"].mean()), len(its))
    order = counts.sort_values("calls", ascending=False, kind="stable").index
    return [
        {
            "task": None if pd.isna(task) else task,
            "group": owner[task] if pd.notna(task) else None,
            "calls_share": float(counts.loc[task, "calls_share"])
            if pd.notna(task)
            else float(counts["calls_share"][counts.index.isna()].sum()),
            "taken": found.get(task, (0.0, 0))[0],
            "n": found.get(task, (0.0, 0))[1],
        }
        for task in order
    ]
