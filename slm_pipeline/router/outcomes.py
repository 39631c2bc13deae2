"""Calibrated probabilities that models answer a call rightly: of each model, and of what they do together.

Multinomial logistic regression over the joint outcomes (model 1 right and model 2 wrong, ...), on TF-IDF of the text and on given numbers.
Learned apart, the difference of two models' probabilities is mostly noise; learned together it orders calls better. Then the log-odds
are sharpened by one factor and moved by one number each (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 4.2),
fitted on sessions that were not learned from.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, hstack

from slm_pipeline.router.features import COLUMNS, counts, rarity, weighted

FOLDS = 5
PENALTY = 1.0  # scikit-learn's C


@dataclass(frozen=True)
class OutcomeModel:
    """`right` (outcomes, models): who is right in each outcome. `share` (outcomes): of outcomes too rare to be learned; of the others, the
    log-odds are weights · (TF-IDF, standardised numbers) + shift, with `weights` (outcomes, COLUMNS + numbers), 0 where rare.
    """

    models: tuple[str, ...]
    right: np.ndarray
    share: np.ndarray
    idf: np.ndarray
    weights: np.ndarray
    shift: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def outcomes(self, texts: Sequence[str], numbers: np.ndarray | None = None) -> np.ndarray:
        """Probabilities (len(texts), outcomes). `numbers` (len(texts), k) as in `fit`; NaN counts as the mean."""
        found = weighted(counts(texts), self.idf)
        said = np.stack([_product(found, row) for row in self.weights[:, :COLUMNS]], axis=1) + self.shift
        if numbers is not None:
            said = said + np.nan_to_num((numbers - self.mean) / self.scale) @ self.weights[:, COLUMNS:].T
        odds = np.where(self.share > 0, 0, np.exp(said - said.max(axis=1, keepdims=True)))
        total = np.maximum(odds.sum(axis=1, keepdims=True), 1e-300)
        return self.share + (1 - self.share.sum()) * odds / total

    def right_of(self, outcomes: np.ndarray) -> dict[str, np.ndarray]:
        """By model: the probability that it is right, (texts), from what `outcomes` gave."""
        return {model: outcomes @ self.right[:, i] for i, model in enumerate(self.models)}

    def harm(self, outcomes: np.ndarray, small: str, large: str) -> np.ndarray:
        """The probability that `small` is wrong where `large` is right, (texts)."""
        one, other = (self.right[:, self.models.index(model)] for model in (small, large))
        return outcomes @ ((1 - one) * other)

    def save(self) -> bytes:
        """An npz file of arrays, columns without weight left out; nothing in it is executed when it is loaded."""
        used = np.flatnonzero(self.idf)
        file = io.BytesIO()
        np.savez_compressed(
            file,
            models=np.array(self.models),
            right=self.right,
            share=self.share,
            used=used.astype(np.int32),
            idf=self.idf[used],
            words=self.weights[:, used],
            rest=self.weights[:, COLUMNS:],
            shift=self.shift,
            mean=self.mean,
            scale=self.scale,
        )
        return file.getvalue()

    @classmethod
    def load(cls, data: bytes) -> "OutcomeModel":
        """The inverse of `save`; raises ValueError for what is no such file."""
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            idf, words = np.zeros(COLUMNS), np.zeros((len(file["right"]), COLUMNS))
            idf[file["used"]], words[:, file["used"]] = file["idf"], file["words"]
            rest = (file[name] for name in ("shift", "mean", "scale"))
            return cls(tuple(map(str, file["models"])), file["right"], file["share"], idf, np.hstack([words, file["rest"]]), *rest)


def fit(
    texts: Sequence[str], right: Mapping[str, Sequence[float]], sessions: Sequence[str], seed: int, numbers: np.ndarray | None = None
) -> OutcomeModel:
    """Learn which models were `right` (by model, 0 or 1 by text) from `texts` and `numbers` (len(texts), k; NaN where one is not known).

    Grams of a single text are left out: chance says what they stand beside. An outcome seen in fewer than 2 * FOLDS texts keeps its share
    for every text; if no two outcomes are seen oftener, all do.
    """
    found, told = counts(texts), np.stack([np.asarray(row, float) for row in right.values()], axis=1)
    outcomes, labels, seen = np.unique(told, axis=0, return_inverse=True, return_counts=True)
    labels = labels.ravel()
    learned = np.flatnonzero(seen >= 2 * FOLDS)
    idf, (mean, scale, numbers) = rarity(found), _standard(np.zeros((len(texts), 0)) if numbers is None else np.asarray(numbers, float))
    weights, shift = np.zeros((len(outcomes), COLUMNS + numbers.shape[1])), np.zeros(len(outcomes))
    share, used = seen / len(labels), np.append(np.flatnonzero(idf), COLUMNS + np.arange(numbers.shape[1]))
    if len(learned) > 1 and len(set(sessions)) > 1 and len(used):
        share[learned] = 0
        rows = np.isin(labels, learned)
        features = hstack([weighted(found, idf), csr_matrix(numbers)]).tocsr()[rows][:, used]
        owners = np.array(sessions, object)[rows]
        weights[np.ix_(learned, used)], shift[learned] = _learn(features, np.searchsorted(learned, labels[rows]), owners, seed)
    return OutcomeModel(tuple(right), outcomes, share, idf, weights, shift, mean, scale)


def _standard(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and spread of each column, and the columns with mean 0 and spread 1, where known; else 0."""
    known = ~np.isnan(numbers)
    n = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, numbers, 0).sum(axis=0) / n
    spread = np.sqrt((np.where(known, numbers - mean, 0) ** 2).sum(axis=0) / n)
    scale = np.where(spread > 0, spread, 1.0)
    return mean, scale, np.where(known, (numbers - mean) / scale, 0.0)


def _learn(features: csr_matrix, labels: np.ndarray, sessions: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (classes, features) and shifts (classes), calibrated."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    model = LogisticRegression(C=PENALTY, max_iter=1000)
    folds = StratifiedGroupKFold(min(FOLDS, len(set(sessions))), shuffle=True, random_state=seed)
    decided = _columns(cross_val_predict(model, features, labels, groups=sessions, cv=folds, method="decision_function"))
    factor, moved = _sharpened(decided, labels)
    model.fit(features, labels)
    weights, shift = _columns(model.coef_.T).T, _columns(model.intercept_[None])[0]
    return factor * weights, factor * shift + moved


def _columns(decided: np.ndarray) -> np.ndarray:
    """scikit-learn's decisions with a column for each class; of two classes it gives one."""
    decided = decided.reshape(len(decided), -1)
    return np.hstack([np.zeros_like(decided), decided]) if decided.shape[1] == 1 else decided


def _sharpened(decided: np.ndarray, labels: np.ndarray) -> tuple[float, np.ndarray]:
    """The factor, not below 0, and the move of each column, with which `decided` (rows, classes) fits `labels` best."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    own, classes = np.arange(len(labels)), decided.shape[1]

    def cross_entropy(of: np.ndarray) -> tuple[float, np.ndarray]:
        told = log_softmax(of[0] * decided + np.append(of[1:], 0), axis=1)
        slope = np.exp(told)
        slope[own, labels] -= 1
        return -told[own, labels].mean(), np.append((slope * decided).sum(), slope.sum(axis=0)[:-1]) / len(labels)

    start = np.append(1.0, np.zeros(classes - 1))
    best = minimize(cross_entropy, start, jac=True, method="L-BFGS-B", bounds=[(0, None)] + [(None, None)] * (classes - 1)).x
    return best[0], np.append(best[1:], 0)


def _product(rows: csr_matrix, column: np.ndarray) -> np.ndarray:
    """Each row's product with a dense column; of single rows faster than SciPy's own."""
    owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    return np.bincount(owner, rows.data * column[rows.indices], minlength=rows.shape[0])
