"""Samples vote on the answer, and no more are drawn than it takes."""

from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.router.vote import decided, votes

ANSWERS = st.lists(st.sampled_from("abc"), min_size=1, max_size=9)


def same(one, other):
    return one == other


@given(ANSWERS)
def test_every_answer_votes_once_and_the_most_frequent_meaning_is_first(answers):
    camps = votes(answers, same)
    assert sorted(place for camp in camps for place in camp) == list(range(len(answers)))
    assert all(len({answers[place] for place in camp}) == 1 for camp in camps)
    assert len(camps[0]) == max(answers.count(answer) for answer in answers)


def test_of_equally_frequent_answers_the_first_one_wins():
    assert votes(["b", "a", "a", "b"], same)[0] == [0, 3]


def test_three_that_agree_are_enough_and_a_dissenter_asks_for_more():
    assert not decided([[0]])
    assert not decided([[0, 1]])
    assert decided([[0, 1, 2]])
    assert not decided([[0, 1, 2], [3]])
    assert decided([[0, 1, 2, 3, 4], [5]])


@given(st.integers(1, 8), st.integers(0, 8))
def test_one_more_vote_for_the_first_never_undoes_a_decision(first, second):
    if decided([range(first), range(second)]):
        assert decided([range(first + 1), range(second)])
