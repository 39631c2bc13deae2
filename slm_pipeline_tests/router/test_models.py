"""A gatekeeper: whom it lets an SLM answer, and how sure it is of the answer."""

import numpy as np
import pytest

from slm_pipeline.router.models import LOST, Outcomes, learn, worth_asking


@pytest.fixture(scope="module")
def seen():
    """Calls about cats are answered rightly, about dogs never, about birds if the number says so."""
    draws = np.random.default_rng(1)
    kinds = np.array(["cat", "dog", "bird"])[np.arange(240) % 3]
    number = draws.random(240)
    slm = np.where(kinds == "cat", 1.0, np.where(kinds == "dog", 0.0, number > 0.5))
    texts = [f"tell me of the {kind} {i % 7}" for i, kind in enumerate(kinds)]
    return Outcomes(texts, ["an answer"] * 240, number[:, None], slm, np.ones(240), [f"s{i // 2}" for i in range(240)])


def test_hopeless_calls_are_not_asked_and_hardly_any_good_one_is_lost(seen):
    keeper, scores, _ = learn(seen, 7)
    asked = scores >= 0
    assert not asked[[text.startswith("tell me of the dog") for text in seen.texts]].any()
    assert asked[seen.slm == 1].mean() >= 0.95
    assert keeper.chance(["tell me of the dog"])[0] < keeper.worth < keeper.chance(["tell me of the cat"])[0]


def test_the_answer_decides_where_the_question_cannot(seen):
    keeper, _, _ = learn(seen, 7)
    good, bad = keeper.scores(["tell me of the bird"] * 2, ["an answer"] * 2, np.array([[0.9], [0.1]]))
    assert good > bad


def test_the_same_outcomes_give_the_same_gatekeeper(seen):
    (one, own, chances), (other, same, again) = learn(seen, 7), learn(seen, 7)
    assert one.router.save() == other.router.save()
    assert np.array_equal(own, same)
    assert np.array_equal(chances, again)


def test_a_single_session_teaches_no_more_than_its_share():
    few = Outcomes(["a b", "c d"], ["x", "y"], np.zeros((2, 1)), np.array([1.0, 0.0]), np.ones(2), ["s", "s"])
    keeper, _, _ = learn(few, 7)
    assert keeper.chance(["a b"])[0] == pytest.approx(0.5)


@pytest.mark.parametrize("n", [59, 100, 400])
def test_a_router_rarely_loses_more_good_calls_than_it_may(n):
    """Chances are uniform here, so the share that a threshold leaves out is the threshold."""
    draws = np.random.default_rng(n)
    thresholds = np.array([worth_asking(draws.random(n)) for _ in range(2_000)])
    assert (thresholds > LOST).mean() <= 0.05 + 0.015
    assert thresholds.max() > 0


def test_of_few_good_calls_none_is_left_unasked():
    assert worth_asking(np.linspace(0.3, 0.9, 58)) == 0
    assert worth_asking(np.array([])) == 0
    assert worth_asking(np.linspace(0.3, 0.9, 59)) == 0.3
