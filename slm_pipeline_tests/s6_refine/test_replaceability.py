"""How much of the traffic SLMs can take."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s6_refine.replaceability import by_checker, replaceability, taken
from slm_pipeline.s6_refine.reports import replaceability_markdown

CALLS = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=40)


def rows(calls, task="task"):
    score, slm, llm = zip(*calls, strict=True)
    columns = {"score": score, "slm": np.array(slm, float), "llm": np.array(llm, float), "task": task}
    return pd.DataFrame(columns | {"session_id": [f"s{i}" for i in range(len(calls))]})


def counts(*rows):
    """Traffic: agent, task, calls, cost; tokens are not recorded."""
    table = pd.DataFrame(rows, columns=["agent", "task", "calls", "cost"]).assign(tokens=np.nan)
    return table.astype({"task": "str", "cost": "float64"})


@given(CALLS, st.floats(0, 0.5))
def test_what_is_taken_keeps_the_margin_and_is_the_surest(calls, margin):
    of = rows(calls)
    mask = taken(of, margin)
    lost = (1 - of["slm"]) * of["llm"]
    assert lost[mask].mean() <= margin + 1e-9 if mask.any() else True
    assert of["score"][mask].min() >= of["score"][~mask].max() if mask.any() and not mask.all() else True


@given(CALLS, st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_wider_margin_never_takes_less(calls, one, other):
    of = rows(calls)
    assert taken(of, min(one, other)).sum() <= taken(of, max(one, other)).sum()


def test_a_perfect_slm_takes_its_tasks_share_of_all_traffic():
    of = rows([(0.9, True, True)] * 20)
    found = replaceability({"group": of}, counts(("a", "task", 60, None), ("a", None, 40, None)), {"task": "group"}, 0.05, 200, 7)
    assert found["calls"] == {"mean": pytest.approx(0.6), "low": pytest.approx(0.6), "high": pytest.approx(0.6)}
    assert found["tokens"] is None, "nothing is recorded of tokens"
    assert [(row["task"], row["taken"]) for row in found["tasks"]] == [("task", 1.0), (None, 0.0)]


def test_of_a_task_whose_checker_knows_what_is_right_all_that_it_passes_is_taken():
    asked = rows([(0.2, True, True), (0.9, False, True), (-1.0, True, True), (0.8, True, True)]).assign(passed=[True, False, True, True])
    assert taken(by_checker(asked, ["task"]), 0.05).tolist() == [True, False, False, True]
    assert taken(by_checker(asked, ["other"]), 0.05).sum() == 0, "the surest is lost"


def test_a_call_that_the_router_does_not_ask_is_not_taken():
    assert not taken(rows([(-1.0, True, True)]), 0.5).any()


def test_without_a_champion_nothing_is_taken():
    assert replaceability({}, counts(("a", "task", 10, None)), {"task": None}, 0.05, 10, 7)["calls"]["mean"] == 0


def test_a_task_weighs_by_its_cost_where_that_is_asked():
    of = rows([(0.9, True, True)] * 20)
    found = replaceability({"group": of}, counts(("a", "task", 90, 1), ("a", None, 10, 3)), {"task": "group"}, 0.05, 50, 7)
    assert found["calls"]["mean"] == pytest.approx(0.9)
    assert found["cost"] == {"mean": pytest.approx(0.25), "low": pytest.approx(0.25), "high": pytest.approx(0.25)}
    assert [row["cost_share"] for row in found["tasks"]] == [0.25, 0.75]


def test_each_agent_has_its_own_share():
    good, bad = rows([(0.9, True, True)] * 20, "good"), rows([(0.9, False, True)] * 20, "bad")
    traffic = counts(("one", "good", 10, 1), ("two", "good", 10, 1), ("two", "bad", 30, 1), ("three", "bad", 5, 1))
    found = replaceability({"g": good, "b": bad}, traffic, {"good": "g", "bad": "b"}, 0.05, 50, 7)
    assert [(row["agent"], row["calls"]["mean"]) for row in found["agents"]] == [("two", 0.25), ("one", 1.0), ("three", 0.0)]
    weights = {"two": 40, "one": 10, "three": 5}
    parts = sum(row["calls"]["mean"] * weights[row["agent"]] for row in found["agents"])
    assert found["calls"]["mean"] == pytest.approx(parts / 55), "agents add up to all traffic"


def test_tasks_have_intervals_and_one_that_was_not_tried_counts_as_its_group():
    of = rows([(0.9 - i / 100, i % 5 > 0, True) for i in range(40)])
    traffic = counts(("a", "task", 30, 1), ("a", "untried", 10, 1))
    found = replaceability({"group": of}, traffic, {"task": "group", "untried": "group"}, 0.2, 200, 7)
    tried, untried = found["tasks"]
    assert tried["low"] < tried["high"]
    assert tried["low"] <= tried["taken"] <= tried["high"]
    assert (untried["taken"], untried["n"]) == (tried["taken"], 0)


def test_the_report_says_shares_of_calls_and_cost_and_what_has_no_price():
    found = replaceability({"g": rows([(0.9, True, True)] * 20)}, counts(("a|b", "task", 60, 1)), {"task": "g"}, 0.05, 50, 7)
    text = replaceability_markdown(found | {"unpriced": {"calls": 7, "of": 60, "models": {"mystery": 7}}}, {"task": "Weather"})
    assert "**100.0% [100.0%, 100.0%] of all cost**" in text
    assert "of all tokens" not in text, "none are recorded"
    assert "| a\\|b | 100.0% [100.0%, 100.0%] | – | 100.0%" in text
    assert "| Weather | 100.0% | – | 100.0% | 100% [100%, 100%] | 20 |" in text
    assert "What 7 of 60 calls cost is not known" in text
    assert "mystery (7)" in text


def test_without_booked_calls_there_is_a_sentence():
    found = replaceability({}, counts(), {}, 0.05, 10, 7)
    assert replaceability_markdown(found | {"unpriced": {"calls": 0}}, {}) == "No calls are booked yet."
