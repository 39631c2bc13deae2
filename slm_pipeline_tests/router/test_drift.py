"""Changes are found, soon; and seldom where there are none."""

import numpy as np
import pytest

from slm_pipeline.router.drift import OutcomeDrift, PromptDrift
from slm_pipeline.router.strangeness import Strangeness

RUNS = 100


def until(drift, values) -> int | None:
    return next((i for i, value in enumerate(values, 1) if drift.see(value)), None)


def test_half_the_traffic_from_elsewhere_is_found_within_500_calls():
    delays = []
    for seed in range(RUNS):
        draws = np.random.default_rng(seed)
        drift = PromptDrift(draws.random(500), seed=seed)
        assert until(drift, draws.random(1_000)) is None
        delays.append(until(drift, np.where(draws.random(500) < 0.5, draws.random(500), 0.8 + 0.2 * draws.random(500))))
    assert None not in delays


def test_without_a_change_there_is_an_alarm_in_one_of_a_hundred_runs_at_most():
    alarms = 0
    for seed in range(RUNS):
        draws = np.random.default_rng(seed)
        alarms += until(PromptDrift(draws.random(200), horizon=2_000, seed=seed), draws.random(2_000)) is not None
    assert alarms <= 3  # of 100, with a probability of 1 % each, more come in 2 % of all cases


def test_calls_that_are_all_alike_are_no_change():
    assert until(PromptDrift([0.5] * 50), [0.5] * 5_000) is None


def test_calls_that_become_more_ordinary_are_no_alarm():
    draws = np.random.default_rng(0)
    assert until(PromptDrift(draws.random(500)), draws.random(3_000) * 0.5) is None


@pytest.mark.parametrize("risk", [0.1, 0.2])
def test_a_doubled_risk_is_found_within_200_audits(risk):
    late = quiet = 0
    for seed in range(RUNS):
        draws = np.random.default_rng(seed)
        drift = OutcomeDrift(risk)
        quiet += until(drift, draws.random(100) < risk) is not None
        late += until(drift, draws.random(200) < 2 * risk) is None
    assert quiet <= 3
    assert late <= RUNS * (0.4 if risk == 0.1 else 0.05)


def test_a_better_slm_is_no_alarm():
    assert until(OutcomeDrift(0.2), np.random.default_rng(0).random(5_000) < 0.1) is None


def test_other_words_are_stranger_than_other_numbers():
    strange = Strangeness.to([f"what is the price of room {i} in the grand hotel" for i in range(50)])
    same, other = strange.of(["what is the price of room 77 in the grand hotel", "prove that there are infinitely many primes"])
    assert same < 0.7 < 0.9 < other
    assert strange.of(["what is the price of room 7 in the grand hotel"])[0] < 0.05


def test_strangeness_is_read_as_it_was_written():
    known = Strangeness.to([f"what is the price of room {i} in the grand hotel" for i in range(20)])
    asked = ["what is the price of room 3 in the grand hotel", "sing me a song", ""]
    assert Strangeness.load(known.save()).of(asked).tolist() == known.of(asked).tolist()
