"""Intervals hold their mean, follow their seed, and know that sessions, not calls, are the draws."""

import math
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.intervals import mean_interval, paired_interval

rows = st.lists(st.tuples(st.floats(0, 1), st.sampled_from("abcdefgh"), st.integers(1, 5)), min_size=1, max_size=40)


def interval(data, seed=7):
    values, sessions, weights = zip(*data, strict=True)
    return mean_interval(values, sessions, 500, seed, weights)


@given(rows)
@settings(max_examples=50, deadline=None)
def test_the_interval_lies_within_the_values_and_follows_its_seed(data):
    result = interval(data)
    assert result == interval(data)
    assert math.isclose(result.mean, sum(v * w for v, _, w in data) / sum(w for *_, w in data), abs_tol=1e-9)
    assert (result.n, result.sessions) == (len(data), len({s for _, s, _ in data}))
    if result.sessions > 1:
        assert min(v for v, *_ in data) - 1e-9 <= result.low <= result.high <= max(v for v, *_ in data) + 1e-9
    else:
        assert result.low is result.high is None


@given(st.lists(st.booleans(), min_size=20, max_size=60))
@settings(max_examples=30, deadline=None)
def test_the_mean_is_inside_its_interval(values):
    result = mean_interval(values, range(len(values)), 2000, 7)
    assert result.low <= result.mean <= result.high


@given(rows, st.randoms())
@settings(max_examples=30, deadline=None)
def test_the_order_of_rows_does_not_matter(data, order):
    shuffled = list(data)
    order.shuffle(shuffled)
    one, other = interval(data), interval(shuffled)
    for a, b in zip((one.mean, one.low, one.high), (other.mean, other.low, other.high), strict=True):
        assert a is b is None or math.isclose(a, b, abs_tol=1e-9)


def test_fewer_sessions_give_a_wider_interval():
    rng = random.Random(7)
    values = [rng.random() < 0.5 for _ in range(400)]
    wide, narrow = mean_interval(values[:40], range(40), 2000, 7), mean_interval(values, range(400), 2000, 7)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_calls_that_repeat_their_session_add_no_certainty():
    values = [0, 1] * 10
    alone = mean_interval(values, range(20), 2000, 7)
    repeated = mean_interval(values * 10, list(range(20)) * 10, 2000, 7)
    assert math.isclose(alone.low, repeated.low)
    assert math.isclose(alone.high, repeated.high)
    assert repeated.n == 200
    assert repeated.sessions == 20


def test_a_pair_cancels_what_both_share():
    rng = random.Random(7)
    base = [rng.random() for _ in range(60)]
    better = [b + 0.1 for b in base]
    gain = paired_interval(better, base, range(60), 2000, 7)
    assert math.isclose(gain.low, 0.1, abs_tol=1e-9)
    assert math.isclose(gain.high, 0.1, abs_tol=1e-9)


def test_missing_values_are_left_out():
    assert mean_interval([1, None, float("nan"), 0], "abcd", 500, 7).n == 2
    assert paired_interval([1, None, 1], [0, 0, None], "abc", 500, 7).n == 1
    nothing = mean_interval([], [], 500, 7)
    assert (nothing.mean, nothing.low, nothing.n) == (None, None, 0)


def test_a_large_table_is_drawn_in_blocks():
    many = mean_interval([i % 2 for i in range(5000)], range(5000), 2000, 7)
    assert abs(many.mean - 0.5) < 1e-9
    assert 0.48 < many.low < many.high < 0.52
