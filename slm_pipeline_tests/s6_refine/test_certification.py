"""What is promised of groups and tasks."""

import numpy as np
import pandas as pd
import pytest

from slm_pipeline.s6_refine.certification import WHOLE, certificates, disagreement, least_calls, threshold


def calls(n, wrong, task="one", judged_by="gold", seed=0, informative=True):
    """n calls in each split, one session each, a share `wrong` of them lost; scores that tell which, if informative."""
    draws = np.random.default_rng(seed)
    rows = []
    for split in ("validation", "calibration"):
        lost = draws.random(n) < wrong
        score = draws.random(n) * 0.5 + (np.where(lost, 0.0, 0.5) if informative else 0.25)
        rows.append(
            pd.DataFrame({"session_id": [f"{task}{split}{i}" for i in range(n)], "task": task, "split": split, "score": score}).assign(
                slm=1.0 - lost, llm=1.0, judged_by=judged_by, agrees=1.0 - lost
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_without_an_error_it_takes_as_many_calls_as_the_design_says():
    assert (least_calls(0.05, 0.1), least_calls(0.1, 0.1)) == (45, 22)


def test_a_good_group_is_certified_and_its_tasks_follow_it():
    found = certificates({"group": calls(300, 0.3)}, 0.1, 0.1)["group"]
    assert set(found) == {WHOLE}, "a group of one task is certified once"
    assert found[WHOLE]["threshold"] is not None
    assert threshold(found, "one") == found[WHOLE]["threshold"]
    assert found[WHOLE]["served"] > 150


def test_delta_is_split_over_all_that_is_tested():
    found = certificates({"a": calls(100, 0.0), "b": pd.concat([calls(100, 0.0), calls(100, 0.0, "two")])}, 0.1, 0.1)
    assert {of["delta"] for units in found.values() for of in units.values()} == {0.1 / 4}


def test_a_good_task_of_a_bad_group_is_served_alone():
    rows = pd.concat([calls(200, 0.0, "good", informative=False), calls(200, 0.9, "bad", informative=False)])
    found = certificates({"group": rows}, 0.1, 0.1)["group"]
    assert found[WHOLE]["threshold"] is None
    assert threshold(found, "good") is not None
    assert threshold(found, "bad") is None
    assert threshold(found, "unknown") is None


def test_tasks_that_are_begun_at_once_are_certified_by_themselves():
    rows = pd.concat([calls(300, 0.2, "verified"), calls(300, 0.0, "good"), calls(300, 0.9, "bad", informative=False)])
    found = certificates({"group": rows}, 0.1, 0.1, {"good", "bad"})["group"]
    alone = certificates({"group": calls(300, 0.2, "verified")}, 0.1, 0.1 / 3)["group"]
    assert {unit: of["delta"] for unit, of in found.items()} == dict.fromkeys([WHOLE, "bad", "good"], 0.1 / 3)
    assert found[WHOLE] | {"delta": 0} == alone[WHOLE] | {"delta": 0} or found[WHOLE]["served"] > 0
    assert threshold(found, "verified") == found[WHOLE]["threshold"] is not None
    assert threshold(found, "good", at_once=True) == found["good"]["threshold"] is not None
    assert threshold(found, "bad", at_once=True) is None, "the group's promise is not about it"


def test_what_only_the_teacher_judged_is_about_fidelity():
    rows = pd.concat([calls(100, 0.0), calls(100, 0.0, judged_by="teacher")])
    labels = [certificates({"group": of}, 0.1, 0.1)["group"][WHOLE]["label"] for of in (rows, calls(100, 0.0))]
    assert labels == ["fidelity", "correctness"]


def test_nothing_known_is_nothing_promised():
    rows = calls(100, 0.0)
    found = certificates({"group": rows[rows["split"] == "validation"]}, 0.1, 0.1)["group"]
    assert found[WHOLE]["threshold"] is None
    assert "cannot certify" in found[WHOLE]["told"]
    assert disagreement(found, 0.1) == 0.1


def test_of_no_calls_nothing_is_said_and_no_confidence_spent():
    """As in a group all of whose tasks have a checker that knows what is right."""
    rows = calls(100, 0.0)
    found = certificates({"sure": rows.head(0), "group": rows}, 0.1, 0.1)
    assert found["sure"] == {}
    assert found["group"][WHOLE]["delta"] == 0.1
    assert threshold(found["sure"], "one") is None


def test_audits_are_held_against_what_is_served():
    rows = calls(300, 0.0).assign(agrees=0.5)
    found = certificates({"group": rows}, 0.1, 0.1)["group"]
    assert disagreement(found, 0.1) == pytest.approx(0.5, abs=0.02)
