"""Every call is asked once, of an SLM that saw nothing of what the call belongs to."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.bench._cross_validation import FOLDS, folds, kept_answers
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import Settings


def rows_of(units, prompts):
    return pd.DataFrame({"id": [f"c{i}" for i in range(len(units))], "unit": units, "messages": prompts})


calls = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 200)), min_size=20, max_size=200)


@given(calls, st.integers(0, 5), st.sets(st.integers(0, 199)))
def test_no_unit_and_no_prompt_is_on_two_sides(drawn, seed, spoilt):
    units, prompts = [f"u{u}" for u in [*range(FOLDS), *(u for u, _ in drawn)]], [f"p{p}" for p in [*range(FOLDS), *(p for _, p in drawn)]]
    rows = rows_of(units, prompts)
    worth = set(rows["id"]) - {f"c{i}" for i in spoilt}
    parted = list(folds(rows, rows["unit"], worth, seed))
    assert sorted(id_ for fold in parted for id_ in fold.asked["id"]) == sorted(rows["id"])
    for fold in parted:
        assert not set(fold.asked["unit"]) & set(fold.learned["unit"])
        assert not set(fold.asked["messages"]) & set(fold.learned["messages"])
        assert set(fold.learned["id"]) <= worth
        assert fold.learned.groupby("unit")["split"].nunique().max() <= 1 or fold.learned.empty


def test_what_is_learned_is_validated_in_every_fold():
    rows = rows_of([f"u{i // 4}" for i in range(100)], [f"p{i}" for i in range(100)])
    for fold in folds(rows, rows["unit"], set(rows["id"]), 7):
        assert fold.learned["split"].value_counts().to_dict() == {"train": 64, "validation": 16}


def test_too_few_sessions_are_refused():
    rows = rows_of(["a", "b", "c", "d"], ["1", "2", "3", "4"])
    with pytest.raises(ValueError, match="4 sessions"):
        next(folds(rows, rows["unit"], set(rows["id"]), 7))


def test_answers_are_asked_once_and_again_where_prompts_are_cut_elsewhere(tmp_path):
    asked = []

    def ask():
        asked.append(1)
        return [Completion("yes", 3, 1, 2.0)]

    for settings in (Settings(), Settings(), Settings(max_prompt_tokens=12)):
        assert kept_answers(tmp_path, ["fold 1"], settings, ask)[0].text == "yes"
    assert len(asked) == 2
