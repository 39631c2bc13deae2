"""How often a wrong answer of the SLM may slip through: a bound that holds with a stated confidence, and the threshold it holds for.

Thresholds are tested one after the other along a path that was fixed before, from the one that is likeliest to hold to those that serve
more, until one fails (fixed-sequence testing, Angelopoulos et al. 2021, "Learn then Test", arXiv 2110.01052, section 4.2): so the whole
path costs no more than one test. The path, and the bets, come from the validation split; the tests from the calibration split.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from scipy.stats import binom

from slm_pipeline.records import Json

STEPS = 50
"""Thresholds on a path."""
BETS = np.linspace(0.02, 0.98, 49)
"""Bets that are tried on the validation split, as shares of the highest one that cannot ruin."""


@dataclass(frozen=True)
class Calls:
    """Calls with an answer of both models. `scores`: the router's or verifier's, higher is better; `losses`: 1 where the SLM is wrong and
    the LLM right, else 0; `sessions`: whose call it is. All of one length."""

    scores: np.ndarray
    losses: np.ndarray
    sessions: np.ndarray

    def served(self, threshold: float) -> np.ndarray:
        return self.scores >= threshold

    @cached_property
    def by_session(self) -> tuple[np.ndarray, np.ndarray]:
        """Each call's session as a number from 0, and how many calls each session has."""
        _, owner, calls = np.unique(self.sessions, return_inverse=True, return_counts=True)
        return owner, calls


@dataclass(frozen=True)
class Certificate:
    """Among calls with a score of `threshold` or more, the expected loss is at most `alpha` with confidence 1 - `delta`.

    threshold: None if nothing could be certified: then all calls go to the LLM. served, losses: calibration calls of such a score, and how
    many of them were wrong; share: of all calibration calls. bound: how it was tested. missing: sessions that would be needed beside
    the `sessions` there were, if served calls went on as in validation; None if no number would do, 0 if it is certified.
    """

    alpha: float
    delta: float
    threshold: float | None
    bound: str
    sessions: int
    served: int
    losses: int
    share: float
    missing: int | None

    def json(self) -> Json:
        return asdict(self)

    def told(self) -> str:
        """In words."""
        if self.threshold is not None:
            return (
                f"at most {self.alpha:.0%} wrong with confidence {1 - self.delta:.0%}, {self.share:.0%} served "
                f"({self.losses} of {self.served} calibration calls wrong)"
            )
        more = f"{self.missing:,} sessions are missing" if self.missing is not None else "at no threshold is the SLM right often enough"
        return f"cannot certify {self.alpha:.0%}: all to LLM; {more}"


def certify(validation: Calls, calibration: Calls, alpha: float, delta: float) -> Certificate:
    """The certificate of the threshold that serves most, of those that could be certified."""
    sessions, longest = len(calibration.by_session[1]), max([1, *validation.by_session[1], *calibration.by_session[1]])
    single = sessions == len(calibration.scores)
    path = thresholds(validation, len(calibration.scores), alpha)
    found = None
    for threshold in path:
        served = calibration.served(threshold)
        if single:
            p = binomial_p(int(calibration.losses[served].sum()), int(served.sum()), alpha)
        else:
            p = betting_p(calibration, threshold, alpha, bet(validation, threshold, alpha, longest)[0])
        if p > delta:
            break
        found = threshold
    served = calibration.served(np.inf if found is None else found)
    if found is not None:
        missing = 0
    elif single:
        missing = missing_sessions(validation, path, sessions, alpha, delta)
    else:
        missing = missing_bets(validation, path, sessions, alpha, delta, longest)
    return Certificate(
        alpha,
        delta,
        found,
        "binomial" if single else "betting",
        sessions,
        int(served.sum()),
        int(calibration.losses[served].sum()),
        float(served.mean()) if len(served) else 0.0,
        missing,
    )


def thresholds(validation: Calls, calls: int, alpha: float) -> list[float]:
    """The path for a calibration of `calls` calls: from where the validation split promises the surest test to where all is served."""
    if not len(validation.scores):
        return []
    steps = np.unique(np.quantile(validation.scores, np.linspace(0, 1, STEPS, endpoint=False), method="lower"))[::-1]
    return steps[int(np.argmin(_promised(*_seen(validation, steps), calls, alpha))) :].tolist()


def binomial_p(losses: int, served: int, alpha: float) -> float:
    """The probability of so few losses, or fewer, among served calls that are independent, if the risk were alpha; 1 without calls."""
    return float(binom.cdf(losses, served, alpha)) if served else 1.0


def betting_p(calls: Calls, threshold: float, alpha: float, stake: float) -> float:
    """An upper bound of that probability where calls of a session are not independent, only sessions are.

    A gambler who puts `stake` against each session's sum of served * (loss - alpha) gains nothing on average if the risk is alpha or more;
    so 1 / capital is a p-value (Waudby-Smith & Ramdas 2024, "Estimating means of bounded random variables by betting", section 4).
    """
    capital = np.log1p(-stake * session_sums(calls, threshold, alpha)).sum()
    return float(np.exp(-max(0.0, capital)))


def bet(validation: Calls, threshold: float, alpha: float, longest: int) -> tuple[float, float]:
    """The stake under which capital grows fastest on the validation split, and by how much its logarithm grows with a session; `longest`:
    calls that a session has at most, so that no session can ruin the gambler."""
    sums = session_sums(validation, threshold, alpha)
    stakes = BETS / ((1 - alpha) * longest)
    growth = np.log1p(-stakes[:, None] * sums[None]).mean(axis=1)
    best = int(np.argmax(growth))
    return float(stakes[best]), float(growth[best])


def session_sums(calls: Calls, threshold: float, alpha: float) -> np.ndarray:
    """The sum of served * (loss - alpha) by session."""
    return np.bincount(calls.by_session[0], calls.served(threshold) * (calls.losses - alpha))


def missing_sessions(validation: Calls, path: Sequence[float], sessions: int, alpha: float, delta: float) -> int | None:
    """How many sessions of one call more would certify some threshold of `path`, if served calls and losses came as often as in
    validation."""
    if not len(validation.scores):
        return None
    per_session, seen = validation.by_session[1].mean(), _seen(validation, path)
    for factor in 1.1 ** np.arange(1, 60):
        calls = int(factor * sessions * per_session) + 1
        if _promised(*seen, calls, alpha).min() <= delta:
            return int(np.ceil(calls / per_session)) - sessions
    return None


def missing_bets(validation: Calls, path: Sequence[float], sessions: int, alpha: float, delta: float, longest: int) -> int | None:
    """The same where sessions have several calls: until a gambler's capital, which grows with a session as on the validation split, is
    1 / delta."""
    fastest = max((bet(validation, threshold, alpha, longest)[1] for threshold in path), default=0.0)
    return max(1, int(np.ceil(np.log(1 / delta) / fastest)) - sessions) if fastest > 0 else None


def _seen(validation: Calls, steps: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """By threshold: the share of calls that it serves, and the risk of these as if half a loss more had been seen."""
    order = np.argsort(validation.scores)
    first = np.searchsorted(validation.scores[order], steps)
    served = len(order) - first
    lost = np.append(np.cumsum(validation.losses[order][::-1])[::-1], 0.0)[first]
    return served / len(order), (lost + 0.5) / (served + 1)


def _promised(shares: np.ndarray, risks: np.ndarray, calls: int, alpha: float) -> np.ndarray:
    """By threshold: the p-value that so many calls would have, if they were served and lost so often."""
    served = (shares * calls).astype(int)
    return np.where(served, binom.cdf(np.ceil(risks * served), served, alpha), 1.0)
