"""What an answer says about itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.router.evidence import NAMES, evidence

ASKED = "Ann has 16 eggs and eats 3. How much does she earn at $2 for each of the others?"


def read(answer: str, asked: str = ASKED) -> dict[str, float]:
    return dict(zip(NAMES, evidence(asked, answer), strict=True))


def test_sums_are_checked():
    right, wrong = read("16 - 3 = 13, and 13 * 2 = $26."), read("16 - 3 = 12, and 12 * 2 = $24.")
    assert (right["equations_wrong"], wrong["equations_wrong"]) == (0, 0.5)
    assert right["equations"] == wrong["equations"] == np.log1p(2)


def test_numbers_need_a_source():
    assert read("16 - 3 = 13, and 13 * 2 = $26.")["numbers_from_nowhere"] == 0
    assert read("She earns 99 dollars.")["numbers_from_nowhere"] == 1
    assert read("She has 16.")["numbers_unused"] == pytest.approx(2 / 3)


def test_thousands_and_decimals_are_one_number():
    assert read("1,250.50 * 2 = 2,501", "Twice 1,250.50?")["equations_wrong"] == 0


def test_repetition_and_doubt_are_seen():
    assert read("She earns 26.\nShe earns 26.\nDone.")["repeated"] == pytest.approx(1 / 3)
    assert read("I assume it is approximately 26.")["hedged"] == 2


def test_an_answer_that_broke_off_is_seen():
    assert read("15 + 25 = <<15+2")["unclosed"] == 1
    assert read("15 + 25 = <<15+25=40>>40 (of 60)")["unclosed"] == 0


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_answer_can_be_read(asked, answer):
    assert evidence(asked, answer).shape == (len(NAMES),)
