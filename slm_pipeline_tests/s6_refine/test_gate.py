"""The gate opens for a gain beyond noise on enough calls, for the very adapter that was judged, and says why it does not."""

import pytest

from slm_pipeline.s6_refine.gate import judge, non_inferiority
from slm_pipeline.settings import Settings

SETTINGS = Settings(min_test_calls=20)


def report(low=0.02, n=60, champion=None, **gain) -> dict:
    of = {"accuracy": {"mean": 0.1, "low": low, "high": 0.2, "n": n, "sessions": n} | gain}
    unharmed = {"n": 0, "first": None}
    adapter = {"digest": "a", "version": "2"}
    gains = {"gain": {"base": of, "champion": of}, "newest": {"base": of["accuracy"], "champion": of["accuracy"]}}
    return {"adapter": adapter, "champion": champion, "checker_errors": unharmed} | gains


def test_a_gain_beyond_noise_passes():
    gate = judge(report(), SETTINGS, "a")
    assert gate.passed
    assert (gate.against, gate.gain, gate.low, gate.high, gate.n) == ("base", 0.1, 0.02, 0.2, 60)


@pytest.mark.parametrize(
    ("given", "digest", "why"),
    [
        (report(low=0.0), "a", "beyond noise"),
        (report(low=-0.01), "a", "beyond noise"),
        (report(n=19), "a", "too few test calls: 19, 20 needed"),
        (report(low=None), "a", "one session"),
        (report(n=0, low=None, mean=None), "a", "too few test calls: 0"),
        (report(), "b", "judges adapter a, not b"),
    ],
)
def test_it_refuses_with_a_reason(given, digest, why):
    gate = judge(given, SETTINGS, digest)
    assert not gate.passed
    assert why in gate.reason


@pytest.mark.parametrize(("champion", "against"), [(None, "base"), ({"version": "3", "digest": "c", "base": "tiny"}, "champion")])
def test_it_refuses_what_has_become_worse_on_the_newest_calls(champion, against):
    given = report(champion=champion)
    given["newest"][against] = {"mean": -0.2, "low": -0.3, "high": -0.1, "n": 20}
    gate = judge(given, SETTINGS, "a")
    assert not gate.passed
    assert f"worse than {gate.against} on the newest third of the calls" in gate.reason
    given["newest"][against] = {"mean": -0.2, "low": None, "high": None, "n": 20}
    assert judge(given, SETTINGS, "a").passed, "nothing is known of the noise"


def test_a_champion_is_whom_to_beat():
    given = report(champion={"version": "3", "digest": "c", "base": "tiny"})
    given["gain"]["champion"] = {"accuracy": {"mean": 0.01, "low": -0.1, "high": 0.1, "n": 60}}
    gate = judge(given, SETTINGS, "a")
    assert not gate.passed
    assert gate.against == "champion v3"
    assert "champion v3" in gate.reason


def test_it_stays_shut_while_a_checker_fails():
    """Answers that make a checker fail would else not count at all, bad as they may be."""
    given = report() | {"checker_errors": {"n": 3, "first": "checkers/t-1.py, line 4: KeyError: 'x'"}}
    assert judge(given, SETTINGS, "a").reason == "a checker failed on 3 answers, mend it: checkers/t-1.py, line 4: KeyError: 'x'"


def against_teacher(low, high, n=60, score="correct") -> dict:
    interval = {"mean": None if low is None else (low + high) / 2, "low": low, "high": high, "n": n, "sessions": n}
    return {"right": score, "gain": {"teacher": {score: interval}}, "checker_errors": {"n": 0, "first": None}}


@pytest.mark.parametrize(
    ("given", "verdict", "why"),
    [
        (against_teacher(-0.04, 0.02), "not inferior", "correct -0.010 [-0.040, +0.020] against the teacher, margin 0.05"),
        (against_teacher(0.01, 0.2, score="checked"), "not inferior", "checked +0.105"),
        (against_teacher(-0.05, 0.2), "not shown", "[-0.050, +0.200]"),
        (against_teacher(-0.3, -0.05), "not shown", "-0.175"),
        (against_teacher(-0.3, -0.06), "inferior", "-0.180"),
        (against_teacher(-0.01, 0.01, n=19), "not testable", "19 calls on which both were judged, 20 needed"),
        (against_teacher(None, None), "not testable", "one session"),
        (against_teacher(0.1, 0.2, score="checked") | {"checker_errors": {"n": 2, "first": "why"}}, "not testable", "failed on 2 answers"),
        ({"right": "correct", "gain": {}}, "not testable", "0 calls"),
        ({"right": None, "gain": {}}, "not testable", "neither gold nor a checker says what is right"),
    ],
)
def test_non_inferiority_is_where_the_interval_lies_to_the_margin(given, verdict, why):
    tested = non_inferiority(given, Settings(min_test_calls=20, noninferiority_margin=0.05))
    assert tested.verdict == verdict
    assert why in tested.why
