from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from slm_pipeline.s2_curate.redact.names import network
from slm_pipeline.s2_curate.redact.names.network import MOVES, START, TAGS, Network, paths
from slm_pipeline.s2_curate.redact.names.tokens import ROWS


def score(tags, scores):
    moves = sum(MOVES[a, b] for a, b in pairwise(tags))
    return START[tags[0]] + moves + sum(scores[i, tag] for i, tag in enumerate(tags))


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (3, len(TAGS)), elements=st.floats(-4, 4, width=32)))
def test_the_path_is_the_best_of_all(scores):
    best = max(score(tags, scores) for tags in product(range(len(TAGS)), repeat=3))
    assert score(tuple(paths(scores)), scores) == pytest.approx(best, abs=1e-3)


def test_a_long_stretch_of_doubt_is_cut_but_every_part_is_legal():
    scores = np.random.default_rng(1).normal(size=(1000, len(TAGS))).astype(np.float32)
    tags = [TAGS[t] for t in paths(scores)]
    joints = set(range(network.LONGEST, 1000, network.LONGEST))
    for i, (before, tag) in enumerate(pairwise(tags), start=1):
        assert not tag.startswith("I-") or i in joints or before[2:] == tag[2:]


def random_network(width=8):
    rng = np.random.default_rng(3)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    layers = len(network.DILATIONS)
    return Network(
        table=normal(ROWS, width),
        mix=[normal(3 * width, width) / 5 for _ in range(layers)],
        bias=[normal(width) for _ in range(layers)],
        out=normal(width, len(TAGS)),
        out_bias=normal(len(TAGS)),
        known=np.array([], dtype=np.uint32),
        masks=np.array([], dtype=np.uint8),
    )


def test_scores_depend_on_near_words_only():
    words = [(f"w{i % 89}", i % 3 == 0) for i in range(500)]
    tagger = random_network()
    parts = np.concatenate([tagger.scores(words, start, start + 50) for start in range(0, 500, 50)])
    np.testing.assert_allclose(parts, tagger.scores(words, 0, 500), atol=1e-3)
