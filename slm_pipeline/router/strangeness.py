"""How unlike the calls of a release a call is."""

import io
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csc_matrix, csr_matrix

from slm_pipeline.router.features import COLUMNS, counts, rarity, weighted


class Strangeness:
    """1 less the cosine of a text's TF-IDF to the nearest of some known texts; what none of these has is as rare as can be."""

    def __init__(self, known: csr_matrix, rarity: np.ndarray):
        self._known, self._rarity = known, rarity

    @classmethod
    def to(cls, known: Sequence[str]) -> "Strangeness":
        """To these texts."""
        found = counts(known)
        rare = rarity(found, least=0)
        return cls(weighted(found, rare).T.tocsc(), rare)

    def save(self) -> bytes:
        """An npz file of arrays; the texts are in it as weights of hashed words only."""
        file = io.BytesIO()
        usual = self._rarity.max()  # of grams that no known text has
        used = np.flatnonzero(self._rarity != usual)
        known = self._known.tocsr()[used].tocsc()
        np.savez_compressed(
            file,
            usual=usual,
            used=used.astype(np.int32),
            rarity=self._rarity[used],
            data=known.data,
            indices=known.indices,
            indptr=known.indptr,
            texts=known.shape[1],
        )
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> "Strangeness":
        """The inverse of `save`; raises ValueError for what is no such file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            rare = np.full(COLUMNS, float(file["usual"]))
            rare[file["used"]] = file["rarity"]
            indices = file["used"][file["indices"]]
            return cls(csc_matrix((file["data"], indices, file["indptr"]), shape=(COLUMNS, int(file["texts"]))), rare)

    def of(self, texts: Sequence[str]) -> np.ndarray:
        """From 0 to 1, (len(texts))."""
        found = counts(texts)
        rows = weighted(found, self._rarity)
        return 1 - (rows @ self._known).max(axis=1).toarray().ravel()
