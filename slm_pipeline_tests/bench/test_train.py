"""`slm bench train`'s sets: the score is of tasks that neither side was trained on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.bench import train

SIZES = {"train": 6, "validation": 2, "test": 4}


@given(st.lists(st.sampled_from([f"{task}-trial{n}" for task in "abcdef" for n in range(2)])))
def test_no_task_is_in_two_sets_and_no_set_is_larger_than_stated(sessions):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "SIZES", SIZES)
        sets = train.parted([*zip(sessions, range(len(sessions)), strict=True)])

    assert all(len(of) <= SIZES[name] for name, of in sets.items())
    where = [(train.task_of(session), name) for name, of in sets.items() for session, _ in of]
    assert len(set(where)) == len(dict(where))


def test_calls_that_are_each_a_task_fill_the_sets_in_their_order(monkeypatch):
    monkeypatch.setattr(train, "SIZES", SIZES)

    sets = train.parted((str(i), i) for i in range(100))

    assert {name: [example for _, example in of] for name, of in sets.items()} == {
        "train": [0, 1, 2, 3, 4, 5],
        "validation": [6, 7],
        "test": [8, 9, 10, 11],
    }


def test_a_task_of_which_only_a_part_fits_is_in_no_second_set(monkeypatch):
    monkeypatch.setattr(train, "SIZES", SIZES)

    sets = train.parted([("long", i) for i in range(9)] + [("next", 9)])

    assert [len(of) for of in sets.values()] == [6, 1, 0]
