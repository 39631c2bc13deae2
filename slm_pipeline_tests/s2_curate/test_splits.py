from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.s2_curate.splits import split_of


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
def test_a_session_has_one_split_for_ever(session, key):
    assert split_of(session, key) == split_of(session, key) in ("train", "validation", "calibration", "test")


def test_splits_do_not_change_between_releases():
    splits = [split_of(f"s{n}", "slm_pipeline") for n in range(8)]
    assert splits == ["train", "train", "train", "validation", "calibration", "test", "train", "train"]


@settings(max_examples=10, deadline=None)
@given(st.text(max_size=8, alphabet="abc"), st.integers(0, 10**6))
def test_shares_are_60_10_10_20(key, offset):
    splits = Counter(split_of(f"s{offset + n}", key) for n in range(4000))
    for split, share in {"train": 0.6, "validation": 0.1, "calibration": 0.1, "test": 0.2}.items():
        assert splits[split] / 4000 == pytest.approx(share, abs=0.05)


def test_another_key_splits_independently():
    agreed = sum(split_of(f"s{n}", "a") == split_of(f"s{n}", "b") for n in range(4000))
    assert agreed / 4000 == pytest.approx(0.42, abs=0.05)
