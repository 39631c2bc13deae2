"""How unlike the calls of a release a call is."""

from collections.abc import Sequence

import numpy as np

from slm_pipeline.router.features import counts, rarity, weighted


class Strangeness:
    """1 less the cosine of a text's TF-IDF to the nearest of some known texts; what none of these has is as rare as can be."""

    def __init__(self, known: Sequence[str]):
        found = counts(known)
        self._rarity = rarity(found, least=0)
        self._known = weighted(found, self._rarity).T.tocsc()

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """From 0 to 1, (len(texts))."""
        found = counts(texts)
        rows = weighted(found, self._rarity)
        return 1 - (rows @ self._known).max(axis=1).toarray().ravel()
