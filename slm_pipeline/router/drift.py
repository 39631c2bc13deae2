"""Whether calls or outcomes are still what a certificate was made for: sequential tests whose false alarms are bounded.

Both turn what comes into a factor that is 1 on average, or less, as long as nothing has changed, and multiply. A capital that begins again
at each call (Shiryaev 1963; Roberts 1966; as a supermartingale Shin, Ramdas & Rinaldo 2023, "E-detectors", arXiv 2203.03532) finds
changes whenever they come. It starts with half of its money, and spreads the other half over the horizon; so the probability of any alarm
within the horizon is at most 1 / ALARM (Ville 1939).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable

import numpy as np

ALARM = 100.0


class Capital:
    """What a gambler has who bets on a change that may have come before any call within the horizon."""

    def __init__(self, horizon: int):
        self.money, self._later = 0.5, 0.5 / horizon

    def play(self, factor: float) -> bool:
        """Multiply by a factor whose mean is at most 1 if nothing changed; whether a change is certain enough."""
        self.money = (self.money + self._later) * factor
        return self.money >= ALARM


class PromptDrift:
    """Are the calls still like those of the release? Each one's strangeness is ranked among all before it: without a change, ranks are
    uniform (conformal test martingales, Vovk, Gammerman & Shafer 2005, section 7.1). The bet is that strange calls come more often.
    """

    STAKES = (0.5, 1.0, 1.5)

    def __init__(self, known: Iterable[float], horizon: int = 10_000, seed: int = 0):
        self._known = sorted(known)
        self._capitals = [Capital(horizon) for _ in self.STAKES]
        self._draws = np.random.default_rng(seed)

    def see(self, strangeness: float) -> bool:
        """Take the next call; whether calls have changed."""
        end = bisect_right(self._known, strangeness)
        stranger, alike = len(self._known) - end, end - bisect_left(self._known, strangeness)
        rank = (stranger + self._draws.uniform() * (alike + 1)) / (len(self._known) + 1)
        insort(self._known, strangeness)
        for capital, stake in zip(self._capitals, self.STAKES, strict=True):
            capital.play(1 + stake * (0.5 - rank))
        return float(np.mean([capital.money for capital in self._capitals])) >= ALARM


class OutcomeDrift:
    """Is the risk of served calls still at most `risk`? Bets on the likelihood of audits under twice the risk."""

    def __init__(self, risk: float, horizon: int = 1_000):
        self._risk, self._feared = risk, min(2 * risk, (1 + risk) / 2)
        self._capital = Capital(horizon)

    def see(self, loss: float) -> bool:
        """Take the next audit's loss, 0 or 1; whether the risk has risen."""
        wrong, right = self._feared / self._risk, (1 - self._feared) / (1 - self._risk)
        return self._capital.play(wrong if loss else right)
