"""Means with 95 % intervals from a bootstrap that resamples sessions.

Calls of one session resemble each other, so calls are not independent draws and sessions are: the percentile bootstrap
(Efron & Tibshirani 1993, chapter 13) draws whole sessions, and each draw's mean is a ratio of sums over its sessions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

CELLS = 4_000_000
"""Draws times sessions held in memory at once."""


@dataclass(frozen=True)
class Interval:
    """A weighted mean over n calls of some sessions with its 95 % interval.

    The mean is None when there are no calls; the bounds are None with fewer than two sessions: then nothing is known of the spread.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    sessions: int

    def json(self) -> dict[str, float | int | None]:
        return asdict(self)


def mean_interval(
    values: Sequence[float], sessions: Sequence[str], samples: int, seed: int, weights: Sequence[float] | None = None
) -> Interval:
    """The mean of `values` (length n) weighted by traffic, with its interval from `samples` draws of sessions.

    Missing values (None or NaN) are left out. The same seed gives the same interval, whatever the order of rows.
    """
    x = _floats(values)
    w = np.ones_like(x) if weights is None else np.asarray(list(weights), float)
    there = ~np.isnan(x)
    x, w = x[there], w[there]
    codes, names = pd.factorize(np.asarray(list(sessions), dtype=object)[there], sort=True)
    if not len(x):
        return Interval(None, None, None, 0, 0)
    sums, counts = np.bincount(codes, w * x), np.bincount(codes, w)
    mean = float(sums.sum() / counts.sum())
    if len(names) < 2:
        return Interval(mean, None, None, len(x), len(names))
    rng = np.random.default_rng(seed)
    at_once = max(1, CELLS // len(names))
    means = []
    for start in range(0, samples, at_once):
        drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=min(at_once, samples - start))
        means.append((drawn @ sums) / (drawn @ counts))
    low, high = np.quantile(np.concatenate(means), (0.025, 0.975))
    return Interval(mean, float(low), float(high), len(x), len(names))


def paired_interval(
    a: Sequence[float], b: Sequence[float], sessions: Sequence[str], samples: int, seed: int, weights: Sequence[float] | None = None
) -> Interval:
    """The mean of a - b over the same calls, each difference taken within its call; calls that lack either value are left out."""
    return mean_interval(_floats(a) - _floats(b), sessions, samples, seed, weights)


def _floats(values: Sequence[float | None]) -> np.ndarray:
    return pd.to_numeric(pd.Series(list(values), dtype="object")).to_numpy(float)
