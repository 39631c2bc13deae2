"""The gate opens for a gain beyond noise on enough calls, for the very adapter that was judged, and says why it does not."""

import pytest

from slm_pipeline.s6_refine.gate import judge
from slm_pipeline.settings import Settings

SETTINGS = Settings(min_test_calls=20)


def report(low=0.02, n=60, champion=None, **gain) -> dict:
    of = {"accuracy": {"mean": 0.1, "low": low, "high": 0.2, "n": n, "sessions": n} | gain}
    return {"adapter": {"digest": "a", "version": "2"}, "champion": champion, "gain": {"base": of, "champion": of}}


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


def test_a_champion_is_whom_to_beat():
    given = report(champion={"version": "3", "digest": "c", "base": "tiny"})
    given["gain"]["champion"] = {"accuracy": {"mean": 0.01, "low": -0.1, "high": 0.1, "n": 60}}
    gate = judge(given, SETTINGS, "a")
    assert not gate.passed
    assert gate.against == "champion v3"
    assert "champion v3" in gate.reason
