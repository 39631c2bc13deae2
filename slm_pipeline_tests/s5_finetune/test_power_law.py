"""The fit finds the law that made the points, and says honestly what no number of examples reaches."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slm_pipeline.s5_finetune.learning_curve import TOO_FAR, examples_needed, gate_need, more_examples, told
from slm_pipeline.s5_finetune.power_law import PowerLaw, fit_power_law
from slm_pipeline.settings import Settings

SETTINGS = Settings(bootstrap_samples=200)
SIZES = [50, 100, 200, 400]
laws = st.builds(PowerLaw, st.floats(0, 0.5), st.floats(0.1, 5), st.floats(0.1, 1.5))


@given(laws)
def test_planted_parameters_are_found(law):
    found = fit_power_law(SIZES, [law.at(n) for n in SIZES])
    assert (found.a, found.b, found.c) == (pytest.approx(law.a, abs=1e-3), pytest.approx(law.b, rel=1e-2), pytest.approx(law.c, abs=1e-2))


@given(laws, st.floats(1.5, 50))
def test_what_a_planted_law_reaches_is_predicted(law, times):
    target = law.at(times * SIZES[-1])
    assert fit_power_law(SIZES, [law.at(n) for n in SIZES]).reaches(target) == pytest.approx(times * SIZES[-1], rel=0.05)


@given(laws, st.floats(0.0, 1.0))
def test_nothing_below_the_asymptote_is_reached(law, part):
    assert law.reaches(law.a * part) is None
    y = law.a + part * law.b
    assume(y > law.a + 1e-3)
    assert law.at(law.reaches(y)) == pytest.approx(y)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_any_points_have_a_law(values):
    found = fit_power_law(SIZES, values)
    assert found.a >= 0
    assert found.b >= 0
    assert all(earlier >= later for earlier, later in zip(map(found.at, SIZES), map(found.at, SIZES[1:]), strict=False))


def planted(calls: int = 400):
    """Scores (sizes, calls) whose errors are 8 n^-0.5 (no asymptote): 0.8 error at 100, 0.4 at 400, 0.2 at 1600."""
    order = np.random.default_rng(3).permutation(calls)
    return np.stack([(order >= round(8 * n**-0.5 * calls)).astype(float) for n in [100, 200, 300, 400]])


def test_more_examples_are_told_with_an_interval():
    sessions = [f"s{i}" for i in range(400)]
    more = more_examples([100, 200, 300, 400], planted(), sessions, 0.8, seed=7)
    assert more["mean"] == pytest.approx(1200, rel=0.05)
    assert 0 < more["low"] < more["mean"]
    assert more["high"] is None or more["high"] > more["mean"]
    assert more == more_examples([100, 200, 300, 400], planted(), sessions, 0.8, seed=7)


def test_what_is_out_of_reach_is_none():
    flat = np.tile([1.0, 0.0], (4, 20))
    more = more_examples(SIZES, flat, [f"s{i}" for i in range(40)], 0.9, seed=7)
    assert more["mean"] is None
    assert examples_needed(SIZES, [0.5] * 4, 0.9) == float("inf")
    far = PowerLaw(0, 1, 0.1)
    assert examples_needed(SIZES, [far.at(n) for n in SIZES], 1 - far.at(2 * TOO_FAR * SIZES[-1])) == float("inf")


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=40))
def test_the_gate_needs_no_less_than_the_opponent_has(pairs):
    own, opponent = ([float(pair[i]) for pair in pairs] for i in (0, 1))
    need = gate_need(own, opponent, [f"s{i}" for i in range(len(pairs))], SETTINGS)
    assert need >= np.mean(opponent) - 1e-9


def test_calls_of_one_session_tell_nothing_of_the_gate():
    assert gate_need([1.0, 0.0], [0.0, 0.0], ["s", "s"], SETTINGS) is None


def test_the_sentence_says_what_was_found():
    law = PowerLaw(0.6, 3, 0.5)
    assert told(400, 0.3, None, None, law).startswith("All validation calls are of one session")
    assert "is reached with 400 examples: 30.0%" in told(400, 0.3, 0.25, {"mean": 0, "low": 0, "high": 0}, law)
    assert "not reachable by the fit: it levels off at 40.0%" in told(400, 0.3, 0.5, {"mean": None, "low": 100, "high": None}, law)
    said = told(400, 0.3, 0.35, {"mean": 1234, "low": 500, "high": None}, law)
    assert said == "About 1,234 more examples [500, out of reach] would reach the gate's need, 35.0% of validation calls."
