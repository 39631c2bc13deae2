"""What a release promises: how often an answer that an SLM serves is wrong where the LLM's would be right.

For every group; and for tasks of a group of which nothing can be promised as a whole.
"""

from collections.abc import Collection, Mapping
from math import ceil, log

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.router.certificate import Calls, certify

WHOLE = "group"


def certificates(
    outcomes: Mapping[str, pd.DataFrame], alpha: float, delta: float, at_once: Collection[str] = ()
) -> dict[str, dict[str, Json]]:
    """By group: certificates (`Certificate.json`, with `told` and `label`) of WHOLE and of those of its tasks that have enough calls; none
    of a group without rows.

    `outcomes`: by group, rows of outcomes (session_id, task, split, slm, llm, judged_by) with the gatekeeper's `score`. delta is split
    evenly over all certificates: with confidence 1 - delta, all of them hold. `label` is "correctness" if gold or a checker judged
    every call, else "fidelity": then it is about saying what the LLM says. Tasks that are begun `at_once` are scored by the router
    alone, so they are no part of WHOLE, and each is certified by itself.
    """
    apart = {group: sorted(set(rows["task"]) & set(at_once)) for group, rows in outcomes.items()}
    rest = {group: rows[~rows["task"].isin(apart[group])] for group, rows in outcomes.items()}
    units = {group: [*([WHOLE] if len(rows) else []), *_tasks(rows, alpha, delta), *apart[group]] for group, rows in rest.items()}
    share = delta / max(1, sum(map(len, units.values())))
    return {
        group: {unit: _certificate(rest[group] if unit == WHOLE else rows[rows["task"] == unit], alpha, share) for unit in units[group]}
        for group, rows in outcomes.items()
    }


def least_calls(alpha: float, delta: float) -> int:
    """Calls without a single loss that a certificate takes: (1 - alpha)^n <= delta."""
    return ceil(log(delta) / log(1 - alpha))


def threshold(found: Mapping[str, Json], task: str, at_once: bool = False) -> float | None:
    """From which score on a task's answers are served: the group's, else the task's own, of one begun `at_once` only that; None: never.

    Where a group is certified as a whole, that is about all its calls, so none is taken out of it.
    """
    whole = None if at_once else found.get(WHOLE, {}).get("threshold")
    return whole if whole is not None else found.get(task, {}).get("threshold")


def disagreement(found: Mapping[str, Json], alpha: float) -> float:
    """How often an answer that a group serves may be another one than the LLM's: what audits are held against."""
    return max([alpha, *(of["disagrees"] for of in found.values() if of["threshold"] is not None)])


def _tasks(rows: pd.DataFrame, alpha: float, delta: float) -> list[str]:
    """Tasks that could be certified by their own calls; that of a group of one task is the group."""
    counts = rows.loc[rows["split"] == "calibration", "task"].value_counts()
    return sorted(counts.index[counts >= least_calls(alpha, delta)]) if rows["task"].nunique() > 1 else []


def _certificate(rows: pd.DataFrame, alpha: float, delta: float) -> Json:
    validation, calibration = (_calls(rows[rows["split"] == split]) for split in ("validation", "calibration"))
    found = certify(validation, calibration, alpha, delta)
    label = "fidelity" if (rows["judged_by"] == "teacher").any() else "correctness"
    return found.json() | {"label": label, "told": found.told(), "disagrees": _disagrees(rows, found.threshold)}


def _disagrees(rows: pd.DataFrame, threshold: float | None) -> float:
    """How often a served answer is not the LLM's, by the calibration split, with one more of either kind."""
    known = rows[(rows["split"] == "calibration") & rows["agrees"].notna()]
    served = known[known["score"] >= (-1 if threshold is None else threshold)]
    return float(((1 - served["agrees"]).sum() + 1) / (len(served) + 2))


def _calls(rows: pd.DataFrame) -> Calls:
    losses = (1 - rows["slm"]) * rows["llm"]
    return Calls(rows["score"].to_numpy(float), losses.to_numpy(float), rows["session_id"].to_numpy(object))
