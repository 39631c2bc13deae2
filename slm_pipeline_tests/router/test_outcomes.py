"""Probabilities of who is right: that they are ones, are calibrated, order calls, and survive being saved."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.router.features import counts, rarity, weighted
from slm_pipeline.router.outcomes import OutcomeModel, fit

EASY, HARD = "book a flight to paris", "prove the conjecture of goldbach"


def traffic(n: int, seed: int = 0):
    """Texts of two kinds; the small model is right on 90 % of one and 20 % of the other, the large on 90 % of both."""
    draws = np.random.default_rng(seed)
    hard = draws.random(n) < 0.5
    texts = [f"{HARD if h else EASY} number {draws.integers(20)}" for h in hard]
    right = {"slm": (draws.random(n) < np.where(hard, 0.2, 0.9)) * 1.0, "llm": (draws.random(n) < 0.9) * 1.0}
    return texts, right, [f"s{i // 2}" for i in range(n)], hard


def test_what_is_learned_is_as_often_right_as_it_says():
    texts, right, sessions, hard = traffic(2_000)
    model = fit(texts, right, sessions, seed=1)
    unseen, truth, _, hard = traffic(4_000, seed=9)
    outcomes = model.outcomes(unseen)
    told = model.right_of(outcomes)
    for kind, share in ((hard, 0.2), (~hard, 0.9)):
        assert told["slm"][kind].mean() == pytest.approx(share, abs=0.06)
        assert told["llm"][kind].mean() == pytest.approx(0.9, abs=0.03)
        assert model.harm(outcomes, "slm", "llm")[kind].mean() == pytest.approx((1 - share) * 0.9, abs=0.06)
        assert np.mean(truth["slm"][kind]) == pytest.approx(share, abs=0.03)


@settings(max_examples=30)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_has_probabilities_that_sum_to_one(texts):
    outcomes = MODEL.outcomes(texts)
    assert outcomes.shape == (len(texts), 4)
    assert (outcomes >= 0).all()
    assert outcomes.sum(axis=1) == pytest.approx(np.ones(len(texts)))


MODEL = fit(*traffic(200)[:3], seed=1)


def test_the_same_calls_give_the_same_model_and_it_survives_being_saved():
    texts, right, sessions, _ = traffic(200)
    saved = fit(texts, right, sessions, seed=1).save()
    assert saved == fit(texts, right, sessions, seed=1).save() == MODEL.save()
    assert np.array_equal(OutcomeModel.load(saved).outcomes(texts), MODEL.outcomes(texts))
    assert OutcomeModel.load(saved).models == ("slm", "llm")


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"pickle|npz|magic"):
        OutcomeModel.load(b"not a model")


def test_an_outcome_too_rare_to_be_learned_keeps_its_share():
    texts, right, sessions, _ = traffic(400)
    right["llm"] = np.ones(400)
    right["llm"][:4] = 0
    model = fit(texts, right, sessions, seed=1)
    assert model.right_of(model.outcomes([EASY, HARD]))["llm"] == pytest.approx([0.99, 0.99], abs=0.003)


@pytest.mark.parametrize("right", [{"slm": [1.0] * 30}, {"slm": [1.0, 0.0, 0.0]}])
def test_with_nothing_to_tell_apart_every_call_has_the_share(right):
    n = len(right["slm"])
    model = fit([f"{EASY} {i}" for i in range(n)], right, [str(i) for i in range(n)], seed=1)
    told = model.right_of(model.outcomes(["anything", ""]))["slm"]
    assert told == pytest.approx([np.mean(right["slm"])] * 2)


def test_texts_without_a_gram_in_common_teach_nothing():
    model = fit([f"only{i}" for i in range(40)], {"slm": [1.0, 0.0] * 20}, [str(i) for i in range(40)], seed=1)
    assert model.right_of(model.outcomes(["only1", ""]))["slm"] == pytest.approx([0.5, 0.5])


def test_numbers_count_and_an_unknown_one_says_nothing():
    draws = np.random.default_rng(3)
    numbers = np.stack([draws.random(400), draws.random(400)], axis=1)
    numbers[::7, 1] = np.nan
    right = {"slm": (numbers[:, 0] + 0.2 * draws.standard_normal(400) > 0.5) * 1.0}
    model = fit([""] * 400, right, [str(i) for i in range(400)], seed=1, numbers=numbers)
    low, high, unknown = model.right_of(model.outcomes([""] * 3, np.array([[0.1, 0.5], [0.9, 0.5], [np.nan, np.nan]])))["slm"]
    assert low < 0.2 < 0.3 < unknown < 0.7 < 0.8 < high


def test_a_session_never_calibrates_what_it_taught():
    """One session's calls are alike and always right; if it judged itself, the model would be sure of every such text."""
    draws = np.random.default_rng(5)
    texts = [f"{' '.join(f'w{draws.integers(50)}' for _ in range(3))} session{i // 20}" for i in range(400)]
    right = {"slm": np.repeat(draws.random(20) < 0.5, 20) * 1.0}
    alone = fit(texts, right, [str(i) for i in range(400)], seed=1)
    together = fit(texts, right, [str(i // 20) for i in range(400)], seed=1)
    spread = [np.std(model.right_of(model.outcomes(texts))["slm"]) for model in (alone, together)]
    assert spread[1] < spread[0] / 2


def test_rows_have_length_one_and_rare_grams_no_weight():
    found = counts(["a red apple", "a red pear", "the green pear", ""])
    rows = weighted(found, rarity(found))
    assert np.sqrt((rows.toarray() ** 2).sum(axis=1)) == pytest.approx([1, 1, 1, 0])
    assert not weighted(counts(["unknown words only"]), rarity(found)).toarray().any()
