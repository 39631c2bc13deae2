"""What a router sees of a text: its words and pairs of words, hashed, so that a model is arrays and no vocabulary."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

COLUMNS = 2**18
WORD = re.compile(r"\w\w+")
LONGEST = 16_000
"""Characters of a text that are read, its last ones: there an agent says what it wants now."""


def grams(text: str) -> Iterator[str]:
    """Words of two letters or more, and each with the one before it; lower case."""
    words = WORD.findall(text[-LONGEST:].lower())
    yield from words
    yield from (f"{one} {other}" for one, other in pairwise(words))


@lru_cache(maxsize=1)
def _hashing():
    from sklearn.feature_extraction.text import HashingVectorizer  # here: Dagster's definitions are loaded often, and reach this module

    return HashingVectorizer(analyzer=grams, n_features=COLUMNS, alternate_sign=False, norm=None, dtype=np.float64)


def counts(texts: Sequence[str]) -> csr_matrix:
    """How often each gram occurs, sparse, of shape (len(texts), COLUMNS), damped: 1 + log(count)."""
    found = _hashing().transform(texts)
    found.data = 1 + np.log(found.data)
    return found


def rarity(found: csr_matrix, least: int = 2) -> np.ndarray:
    """Inverse document frequency by column, as scikit-learn smooths it; 0 for grams of fewer than `least` texts."""
    texts = np.bincount(found.indices, minlength=COLUMNS)
    return np.where(texts >= least, np.log((1 + found.shape[0]) / (1 + texts)) + 1, 0.0)


def weighted(found: csr_matrix, idf: np.ndarray) -> csr_matrix:
    """TF-IDF rows of length one (a row without a known gram stays zero); `found` is not changed."""
    rows = found.copy()
    rows.data = rows.data * idf[rows.indices]
    squares = np.bincount(np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr)), rows.data**2, minlength=rows.shape[0])
    rows.data /= np.repeat(np.sqrt(np.maximum(squares, 1e-18)), np.diff(rows.indptr))
    return rows
