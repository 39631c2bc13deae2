"""Successive halving spends the same on every rung, never loses the cheapest, and ends with the cheapest that is good enough."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.intervals import Interval
from slm_pipeline.s4_select.halving import (
    RungResult,
    behind_best,
    cheapest_passing,
    explain_choice,
    passes,
    schedule,
    successive_halving,
    survivors,
    trial_rows,
)
from slm_pipeline.settings import Settings

SETTINGS = Settings(bootstrap_samples=200)
losses = st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.floats(0.01, 5), min_size=2)


def costs_of(names):
    """By name: A is the cheapest."""
    return {name: (float(i), 1.0, 10) for i, name in enumerate(sorted(names))}


def gap(mean, low=None, high=None):
    return Interval(mean, low, high, 40, 40)


def test_eight_candidates_take_three_rungs_of_one_cost():
    assert schedule(8, 256) == [(8, 64), (4, 128), (2, 256)]
    assert schedule(2, 256) == [(2, 256)]
    assert schedule(3, 256) == [(3, 128), (2, 256)]


@given(st.integers(2, 200), st.integers(1, 4000))
def test_a_schedule_ends_with_two_on_all_examples(candidates, examples):
    rungs = schedule(candidates, examples)
    assert rungs[0][0] == candidates
    assert rungs[-1] == (2, examples)
    assert all(1 <= budget <= examples and size < candidates + 1 for size, budget in rungs)
    assert all(later[0] < earlier[0] and later[1] >= earlier[1] for earlier, later in pairwise(rungs))


@given(losses, st.data())
def test_the_cheapest_and_the_lowest_losses_go_on(found, data):
    keep = data.draw(st.integers(2, len(found)))
    left = survivors([RungResult(name, 1, 8, loss) for name, loss in found.items()], costs_of(found), keep)
    assert len(left) == keep
    assert min(found) in left, "A is the cheapest"
    gone, rest = set(found) - set(left), set(left) - {min(found)}
    assert all(found[name] <= found[lost] for name in rest for lost in gone)


@given(losses)
def test_halving_trains_each_survivor_on_more(found):
    asked = []

    def try_out(name, rung, examples, last):
        asked.append((rung, name, examples))
        return RungResult(name, rung, examples, found[name], (1.0,) if last else ())

    results = successive_halving(costs_of(found), 64, try_out)
    assert [(result.rung, result.name, result.examples) for result in results] == asked
    finalists = [result.name for result in results if result.scores]
    assert len(finalists) == 2
    assert min(found) in finalists
    others = set(found) - {min(found)}
    assert min(others, key=lambda name: (found[name], name)) in finalists


def test_a_finalist_passes_if_its_interval_reaches_the_best():
    assert passes(gap(-0.1, -0.25, 0.0))
    assert not passes(gap(-0.1, -0.25, -0.01))
    assert passes(gap(0.0))
    assert not passes(gap(-0.1)), "of one session only: nothing is known of noise"


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.floats(-1, 0), min_size=1))
def test_the_cheapest_that_passes_is_chosen(gaps):
    behind = {name: gap(mean, mean, mean) for name, mean in gaps.items()} | {"Z": gap(0.0, 0.0, 0.0)}
    chosen = cheapest_passing(behind, costs_of(behind))
    assert passes(behind[chosen])
    assert not any(passes(behind[name]) for name in behind if name < chosen)


def finalists(small, large, n=40):
    """Two finalists' results; shares of right answers, the small one right where the large one is, as far as it goes."""
    scores = [tuple(float(i < round(share * n)) for i in range(n)) for share in (small, large)]
    return [RungResult("small", 1, 64, 0.9, scores[0]), RungResult("large", 1, 64, 0.5, scores[1])], [f"s{i}" for i in range(n)]


COSTS = {"small": (0.5, 0.3, 135_000_000), "large": (float("inf"), float("inf"), 270_000_000)}


def test_a_larger_base_wins_only_beyond_noise():
    results, sessions = finalists(0.30, 0.35)
    assert cheapest_passing(behind_best(results, sessions, SETTINGS), COSTS) == "small"
    results, sessions = finalists(0.30, 0.70)
    assert cheapest_passing(behind_best(results, sessions, SETTINGS), COSTS) == "large"


def test_the_reason_names_scores_price_and_who_failed():
    results, sessions = finalists(0.30, 0.70)
    why = explain_choice(trial_rows(results, sessions, COSTS, SETTINGS), "large")
    assert why == (
        "After 64 training examples large answered 70.0% of 40 validation calls. It is the cheapest that passes "
        "(270 million parameters). small is worse beyond noise."
    )
    results, sessions = finalists(0.30, 0.35)
    why = explain_choice(trial_rows(results, sessions, COSTS, SETTINGS), "small")
    assert "small answered 30.0% of 40 validation calls, large 35.0%: within noise" in why
    assert "0.50 s at p95, 0.30 GB predicted" in why
