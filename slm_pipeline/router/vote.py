"""Self-consistency: of several samples, the answer that most of them mean (Wang et al. 2022, arXiv 2203.11171)."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from scipy.special import betainc

T = TypeVar("T")
CONFIDENCE = 0.9
"""Three samples that agree are enough, two are not."""


def votes(answers: Sequence[T], same: Callable[[T, T], bool]) -> list[list[int]]:
    """Places of answers that mean the same, the most frequent meaning first, of equally frequent ones the one that came first."""
    camps: list[list[int]] = []
    for place, answer in enumerate(answers):
        camp = next((camp for camp in camps if same(answers[camp[0]], answer)), None)
        if camp is None:
            camps.append([place])
        else:
            camp.append(place)
    return sorted(camps, key=lambda camp: (-len(camp), camp[0]))


def decided(camps: Sequence[Sequence[int]], confidence: float = CONFIDENCE) -> bool:
    """Whether more samples would hardly change the first place: the probability that the first of two camps is the larger one, its share
    having a uniform prior (Adaptive-Consistency, Aggarwal et al. 2023, arXiv 2305.11860, section 3)."""
    first, second = (len(camps[i]) if i < len(camps) else 0 for i in range(2))
    return bool(betainc(second + 1, first + 1, 0.5) >= confidence)
