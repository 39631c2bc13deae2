"""How much of the traffic SLMs can take."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s6_refine.replaceability import replaceability, taken

CALLS = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.booleans()), min_size=1, max_size=40)


def rows(calls, task="task"):
    score, slm, llm = zip(*calls, strict=True)
    columns = {"score": score, "slm": np.array(slm, float), "llm": np.array(llm, float), "task": task}
    return pd.DataFrame(columns | {"session_id": [f"s{i}" for i in range(len(calls))]})


def counts(**calls):
    index = [None if name == "none" else name for name in calls]
    table = pd.DataFrame({"calls": list(calls.values()), "tokens": np.nan}, index=pd.Index(index, dtype=object))
    return table.assign(calls_share=table["calls"] / table["calls"].sum())


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
    found = replaceability({"group": of}, counts(task=60, none=40), {"task": "group"}, 0.05, 200, 7)
    assert found["calls"] == {"mean": pytest.approx(0.6), "low": pytest.approx(0.6), "high": pytest.approx(0.6)}
    assert found["tokens"] is None, "nothing is recorded of tokens"
    assert [(row["task"], row["taken"]) for row in found["tasks"]] == [("task", 1.0), (None, 0.0)]


def test_a_call_that_the_router_does_not_ask_is_not_taken():
    assert not taken(rows([(-1.0, True, True)]), 0.5).any()


def test_without_a_champion_nothing_is_taken():
    assert replaceability({}, counts(task=10), {"task": None}, 0.05, 10, 7)["calls"]["mean"] == 0
