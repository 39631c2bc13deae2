from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.automation.retrain import groups_due

groups = st.sampled_from(["a", "b", "c", "d"])
counts = st.dictionaries(groups, st.integers(0, 100))


@given(counts, counts, st.sets(groups), st.integers(1, 50))
def test_a_group_is_due_exactly_when_its_new_failures_reach_the_threshold_and_nothing_runs(failures, seen, busy, threshold):
    due = groups_due(failures, seen, busy, threshold)
    for group in "abcd":
        expected = group in seen and group not in busy and failures.get(group, 0) - seen[group] >= threshold
        assert (group in due) == expected


@given(counts, counts, st.integers(1, 50))
def test_a_trained_group_is_not_due_again(failures, seen, threshold):
    due = groups_due(failures, seen, set(), threshold)
    assert groups_due(failures, seen | due, set(), threshold) == {}


@given(counts, st.integers(1, 50))
def test_failures_alone_never_train_a_group_without_adapter(failures, threshold):
    assert groups_due(failures, {}, set(), threshold) == {}


def test_the_total_is_the_watermark():
    assert groups_due({"g": 41}, {"g": 20}, set(), 20) == {"g": 41}
    assert groups_due({"g": 39}, {"g": 20}, set(), 20) == {}
