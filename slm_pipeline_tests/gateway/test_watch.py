"""When a release is given up."""

import numpy as np

from slm_pipeline.gateway.watch import MOST_ERRORS, Watch

USUAL = np.random.default_rng(1).random(200).tolist()


def watch():
    return Watch({"group": 0.1}, {"group": USUAL}, 7)


def test_single_errors_are_no_reason_and_many_in_a_row_are():
    calm = watch()
    assert not any(calm.tried(error=i % 10 == 0, served=True) for i in range(500))
    failing = watch()
    reasons = [failing.tried(error=True, served=False) for _ in range(MOST_ERRORS)]
    assert reasons[-1]
    assert not any(reasons[:-1])


def test_audits_that_disagree_as_often_as_known_are_no_reason_and_thrice_as_often_are_within_two_hundred():
    draws = np.random.default_rng(2)
    calm, bad = watch(), watch()
    assert not any(calm.audited("group", agrees) for agrees in draws.random(1000) > 0.1)
    found = [bool(bad.audited("group", agrees)) for agrees in draws.random(200) > 0.3]
    assert any(found)
    assert f"of {found.index(True) + 1}" in bad.audited("group", False) or found.index(True) < 200


def test_calls_that_become_strange_withdraw_the_certificate():
    draws = np.random.default_rng(3)
    same, other = watch(), watch()
    assert not any(same.strange("group", value) for value in draws.random(1000))
    assert any(other.strange("group", 0.7 + 0.3 * value) for value in draws.random(500))


def test_only_the_first_call_of_a_session_in_its_group_is_looked_at():
    seen = watch()
    assert seen.begins("group", "one")
    assert not seen.begins("group", "one")
    assert seen.begins("other", "one")
    assert seen.begins("group", "two")
