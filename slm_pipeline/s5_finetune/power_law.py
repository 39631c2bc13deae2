"""Learning curves as power laws of the number of examples: y = a + b n^-c (Hestness et al. 2017, Deep learning scaling is predictable)."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

EXPONENTS = (0.02, 3.0)
LARGEST = 100  # logarithm of a number of examples
GRID = 60  # exponents among which the best is looked for before it is refined


@dataclass(frozen=True)
class PowerLaw:
    """An error or loss that falls towards the asymptote `a`; a, b >= 0."""

    a: float
    b: float
    c: float

    def at(self, n: float) -> float:
        return self.a + self.b * n**-self.c

    def reaches(self, y: float) -> float | None:
        """The number of examples from which the law is at most `y`; None if its asymptote is not below, or no number is large enough."""
        if self.b == 0 and self.a <= y:
            return 0.0
        if self.b == 0 or self.a >= y:
            return None
        exponent = (log(self.b) - log(y - self.a)) / self.c
        return exp(exponent) if exponent < LARGEST else None


def fit_power_law(n: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """The law of least squared error through the points (n, y), n > 0.

    For a given exponent a and b are a non-negative linear regression, so only the exponent is searched (variable projection, Golub &
    Pereyra 1973): no start values, no local minimum of three parameters.
    """
    from scipy.optimize import minimize_scalar, nnls

    sizes, values = np.asarray(n, float), np.asarray(y, float)
    scale = sizes.max()

    def regressed(c: float) -> tuple[np.ndarray, float]:
        return nnls(np.column_stack([np.ones_like(sizes), (sizes / scale) ** -c]), values)

    grid = np.geomspace(*EXPONENTS, GRID)
    best = int(np.argmin([regressed(c)[1] for c in grid]))
    bounds = (grid[max(best - 1, 0)], grid[min(best + 1, GRID - 1)])
    c = float(minimize_scalar(lambda c: regressed(c)[1], bounds=bounds, method="bounded", options={"xatol": 1e-9}).x)
    a, b = regressed(c)[0]
    return PowerLaw(float(a), float(b * scale**c), c)
