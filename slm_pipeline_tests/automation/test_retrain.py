from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.automation.retrain import groups_due

groups = st.sampled_from(["a", "b", "c", "d"])
counts = st.dictionaries(groups, st.integers(0, 100))


@given(counts, counts, st.sets(groups), st.integers(1, 50))
def test_a_group_is_due_exactly_when_its_new_failures_reach_the_threshold_and_nothing_runs(failures, seen, busy, threshold):
    due = groups_due(failures, seen, {}, busy, threshold)
    for group in "abcd":
        expected = group in seen and group not in busy and failures.get(group, 0) - seen[group] >= threshold
        assert (group in due) == expected


@given(counts, counts, st.integers(1, 50))
def test_a_trained_group_is_not_due_again(failures, seen, threshold):
    due = groups_due(failures, seen, {}, set(), threshold)
    assert groups_due(failures, seen | {group: failures[group] for group in due}, {}, set(), threshold) == {}


@given(counts, st.integers(1, 50))
def test_failures_alone_never_train_a_group_without_adapter(failures, threshold):
    assert groups_due(failures, {}, {}, set(), threshold) == {}


def test_the_total_is_the_watermark():
    assert groups_due({"g": 41}, {"g": 20}, {}, set(), 20) == {"g": "41"}
    assert groups_due({"g": 39}, {"g": 20}, {}, set(), 20) == {}


@given(counts, counts, st.dictionaries(groups, st.text("0123456789abcdef", min_size=1)), st.sets(groups), st.integers(1, 50))
def test_an_adapter_that_learned_from_erased_calls_is_replaced_once(failures, seen, erased, busy, threshold):
    due = groups_due(failures, seen, erased, busy, threshold)
    assert {group for group in erased if group not in busy} <= set(due)
    assert all(due[group] == f"erased-{adapter}" for group, adapter in erased.items() if group in due)
