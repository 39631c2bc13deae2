"""A release's way into service, and back."""

import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s6_refine.rollout import Rollout, read_rollout, write_rollout


def test_a_release_goes_through_shadow_and_canary_into_service():
    rollout = Rollout().offered("one")
    assert (rollout.serving, rollout.candidate, rollout.stage) == (None, "one", "shadow")
    rollout = rollout.promoted()
    assert (rollout.serving, rollout.candidate, rollout.stage) == (None, "one", "canary")
    rollout = rollout.promoted()
    assert (rollout.serving, rollout.candidate, rollout.stage) == ("one", None, None)


def test_what_was_rolled_back_is_not_offered_again_and_the_one_before_serves():
    rollout = Rollout().offered("one").promoted().promoted().offered("two").promoted().promoted().rolled_back("audits")
    assert (rollout.serving, rollout.candidate) == ("one", None)
    assert rollout.offered("two") == rollout
    assert rollout.history[-1]["reason"] == "audits"


def test_a_candidate_that_fails_leaves_what_serves_alone():
    rollout = Rollout().offered("one").promoted().promoted().offered("two").rolled_back("errors")
    assert (rollout.serving, rollout.candidate, rollout.refused) == ("one", None, ("two",))


def test_what_serves_can_fail_while_another_one_is_on_trial():
    rollout = Rollout().offered("one").promoted().promoted().offered("two").promoted().promoted().offered("three")
    gone = rollout.rolled_back("audits", "two")
    assert (gone.serving, gone.candidate) == ("one", "three")
    assert rollout.rolled_back("audits", "unknown") == rollout


def test_a_newer_release_takes_the_place_of_the_one_on_trial():
    rollout = Rollout().offered("one").promoted().offered("two")
    assert (rollout.candidate, rollout.stage) == ("two", "shadow")


@pytest.mark.parametrize("move", [lambda rollout: rollout.promoted(), lambda rollout: rollout.rolled_back("why")])
def test_without_a_release_there_is_nothing_to_move(move):
    with pytest.raises(ValueError, match="No release"):
        move(Rollout())


def test_it_is_read_as_it_was_written(tmp_path):
    lake = Lake(str(tmp_path))
    assert read_rollout(lake) == Rollout()
    rollout = Rollout().offered("one").promoted().promoted().offered("two").rolled_back("errors")
    write_rollout(lake, rollout)
    assert read_rollout(lake) == rollout


def test_a_withdrawn_group_stays_so_until_another_release_serves():
    rollout = Rollout().offered("one").promoted().promoted().without("group", "drift")
    assert rollout.withdrawn == {"group": "drift"}
    assert rollout.offered("two").promoted().withdrawn == {"group": "drift"}
    assert rollout.offered("two").promoted().promoted().withdrawn == {}
