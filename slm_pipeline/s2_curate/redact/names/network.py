"""The tagger's network, in numpy: hashed embeddings, window convolutions, a Viterbi path.

Embeddings of a word's form summed and mixed by convolutions over its neighbours follow spaCy's tok2vec (Honnibal, "Embed, encode,
attend, predict", 2016; Miranda et al., arXiv 2212.09255); the residual blocks with dilation follow Strubell et al.,
"Fast and Accurate Entity Recognition with Iterated Dilated Convolutions" (arXiv 1702.02098).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from slm_pipeline.s2_curate.redact.names.tokens import features, fingerprint, is_identifier, normal

TAGS = ("O", *(f"{part}-{kind}" for kind in ("PERSON", "LOCATION", "ORGANIZATION", "ADDRESS") for part in "BI"))
DILATIONS = (1, 2, 4, 1)
REACH = sum(DILATIONS)  # tokens on either side that a tag depends on
WINDOW = 4096  # tokens computed at once: memory stays bounded
LONGEST = 64  # tokens of one path: longer stretches of doubt are cut
EAGER = 2.0  # nats by which a name is preferred to none: a missed name costs more than a word too many
SURE = 6.0  # a token whose "O" leads by this many nats ends a path


@dataclass(eq=False)
class Network:
    """Weights, float32: `table` (ROWS, d); for each of DILATIONS `mix` (3 d, d), `bias` (d); `out` (d, tags), `out_bias` (tags).
    `known`: sorted fingerprints of the gazetteers (uint32), `masks` theirs."""

    table: np.ndarray
    mix: list[np.ndarray]
    bias: list[np.ndarray]
    out: np.ndarray
    out_bias: np.ndarray
    known: np.ndarray
    masks: np.ndarray

    def __post_init__(self):
        self.embed = lru_cache(maxsize=2**15)(self._embed)

    def mask(self, token: str) -> int:
        """The gazetteers that hold a token."""
        key = fingerprint(normal(token))
        place = int(np.searchsorted(self.known, np.uint32(key)))
        return int(self.masks[place]) if place < len(self.known) and self.known[place] == key else 0

    def _embed(self, token: str, spaced: bool) -> np.ndarray:
        return self.table[features(token, spaced, self.mask(token))].sum(0)

    def tags(self, words: list[tuple[str, bool]]) -> np.ndarray:
        """Tag numbers (n,) of tokens, each with whether white space stands before it."""
        parts = [self.scores(words, start, start + WINDOW) for start in range(0, len(words), WINDOW)]
        return paths(np.concatenate(parts)) if parts else np.zeros(0, dtype=np.int8)

    def scores(self, words: list[tuple[str, bool]], start: int, end: int) -> np.ndarray:
        """Scores (end - start, tags) of words[start:end] (or up to their end), which depend on REACH words on either side too."""
        first, last = max(0, start - REACH), min(len(words), end + REACH)
        scores = self._mixed(np.stack([self.embed(*word) for word in words[first:last]]))
        scores = scores[start - first : end - first]
        scores[[is_identifier(token) for token, _ in words[start:end]], 0] = 1e6
        return scores

    def _mixed(self, x: np.ndarray) -> np.ndarray:
        for mix, bias, reach in zip(self.mix, self.bias, DILATIONS, strict=True):
            around = np.zeros((len(x) + 2 * reach, x.shape[1]), dtype=np.float32)  # beyond the text's ends: zeros
            around[reach:-reach] = standard(x)
            d = x.shape[1]
            y = around[: -2 * reach] @ mix[:d] + around[reach:-reach] @ mix[d : 2 * d] + around[2 * reach :] @ mix[2 * d :] + bias
            x = x + np.maximum(y, 0)
        scores = standard(x) @ self.out + self.out_bias
        scores[:, 0] -= EAGER
        return scores


def standard(x: np.ndarray) -> np.ndarray:
    """Rows with mean 0 and variance 1 (layer normalisation)."""
    x = x - x.mean(1, keepdims=True)
    return x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5)


def _allowed() -> np.ndarray:
    moves = np.zeros((len(TAGS), len(TAGS)), dtype=np.float32)
    for j, tag in enumerate(TAGS):
        if tag.startswith("I-"):
            moves[:, j] = [0 if before[2:] == tag[2:] else -1e9 for before in TAGS]
    return moves


MOVES = _allowed()
START = np.array([-1e9 if tag.startswith("I-") else 0 for tag in TAGS], dtype=np.float32)


def paths(scores: np.ndarray) -> np.ndarray:
    """The best tags (n,) by scores (n, tags) such that I follows only its own kind (Viterbi 1967). Stretches between sure O's are
    solved side by side: time is linear, and small where nothing is doubtful."""
    doubtful = scores[:, 1:].max(1) > scores[:, 0] - SURE
    tags = np.zeros(len(scores), dtype=np.int8)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], doubtful, [False]])))
    stretches = [(s, min(s + LONGEST, end)) for start, end in edges.reshape(-1, 2) for s in range(start, end, LONGEST)]
    if not stretches:
        return tags
    starts, ends = np.array(stretches).T
    steps = int((ends - starts).max())
    at = starts[:, None] + np.arange(steps)
    inside = at < ends[:, None]
    local = np.where(inside[..., None], scores[np.minimum(at, len(scores) - 1)], 0)
    best, back = local[:, 0] + START, np.zeros((len(starts), steps, len(TAGS)), dtype=np.int8)
    for step in range(1, steps):
        ways = best[:, :, None] + MOVES
        back[:, step] = ways.argmax(1)
        moved = ways.max(1) + local[:, step]
        best = np.where(inside[:, step, None], moved, best)
        back[~inside[:, step], step] = np.arange(len(TAGS))
    now = best.argmax(1)
    for step in range(steps - 1, -1, -1):
        tags[at[inside[:, step], step]] = now[inside[:, step]]
        now = back[np.arange(len(starts)), step, now]
    return tags
