"""A group's router, which decides before an SLM is asked, and its verifier, which decides on the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from slm_pipeline.router.outcomes import OutcomeModel, fit

FOLDS = 5
LOST, SURE = 0.05, 0.95
"""Share of the calls that an SLM answers rightly which the router may send to the LLM unasked, and with what confidence it is no more."""
SLM, LLM = "slm", "llm"


@dataclass(frozen=True)
class Gatekeeper:
    """`router` sees a call's text, `verifier` an answer's text and numbers (`answering.KNOWN`). The SLM is asked where the router gives it
    `worth` or more; the verifier's score of its answer is to be compared with a certificate's threshold."""

    router: OutcomeModel
    verifier: OutcomeModel
    worth: float

    def chance(self, texts: Sequence[str]) -> np.ndarray:
        """The probability that the SLM is right, before it is asked, (texts)."""
        return self.router.right_of(self.router.outcomes(texts))[SLM]

    def scores(self, texts: Sequence[str], answers: Sequence[str], known: np.ndarray) -> np.ndarray:
        """1 less the probability that the SLM's answer is wrong and the LLM's is right; -1 where the SLM is not asked. (texts)"""
        harm = self.verifier.harm(self.verifier.outcomes(answers, known), SLM, LLM)
        return np.where(self.chance(texts) >= self.worth, 1 - harm, -1.0)


@dataclass(frozen=True)
class Outcomes:
    """Calls that an SLM has answered: all of one length. `known` (calls, numbers); `slm`, `llm`: 1 where right, else 0."""

    texts: Sequence[str]
    answers: Sequence[str]
    known: np.ndarray
    slm: np.ndarray
    llm: np.ndarray
    sessions: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def some(self, rows: np.ndarray) -> "Outcomes":
        """The calls at these places."""
        texts, answers, sessions = ([of[i] for i in rows] for of in (self.texts, self.answers, self.sessions))
        return Outcomes(texts, answers, self.known[rows], self.slm[rows], self.llm[rows], sessions)

    @property
    def losses(self) -> np.ndarray:
        """1 where the SLM is wrong and the LLM right, else 0."""
        return (1 - self.slm) * self.llm


def learn(seen: Outcomes, seed: int) -> tuple[Gatekeeper, np.ndarray, np.ndarray]:
    """The gatekeeper that learned all calls of the validation split, and the scores and chances (calls) that others, which learned four
    fifths of the sessions, give to the rest: what a call that was not learned from would get."""
    folds = _folds(seen.sessions, seed)
    chances, scores = np.zeros(len(seen)), np.zeros(len(seen))
    for fold in set(folds):
        known, asked = seen.some(np.flatnonzero(folds != fold)), seen.some(np.flatnonzero(folds == fold))
        keeper = _fitted(known if len(known) else asked, 0.0, seed)
        chances[folds == fold] = keeper.chance(asked.texts)
        scores[folds == fold] = keeper.scores(asked.texts, asked.answers, asked.known)
    worth = worth_asking(chances[seen.slm == 1])
    return _fitted(seen, worth, seed), np.where(chances >= worth, scores, -1.0), chances


def worth_asking(chances: np.ndarray) -> float:
    """From which chance on an SLM is asked, by the chances of calls that it answered rightly: a one-sided tolerance limit (Wilks 1941,
    "Determination of sample sizes for setting tolerance limits"). 0 where they are too few, below 59, to leave any out."""
    least = int(binom.ppf(1 - SURE, len(chances), LOST)) if len(chances) else 0
    return float(np.sort(chances)[least - 1]) if least else 0.0


def _fitted(seen: Outcomes, worth: float, seed: int) -> Gatekeeper:
    right = {SLM: seen.slm, LLM: seen.llm}
    return Gatekeeper(fit(seen.texts, right, seen.sessions, seed), fit(seen.answers, right, seen.sessions, seed, seen.known), worth)


def _folds(sessions: Sequence[str], seed: int) -> np.ndarray:
    """A fold for each call, the same for all calls of a session."""
    names = sorted(set(sessions))
    order = np.random.default_rng(seed).permutation(len(names)) % FOLDS
    places = dict(zip(names, order.tolist(), strict=True))
    return np.array([places[session] for session in sessions], int)
