"""The table of graded answers shows failures first, with what is wrong."""

import pandas as pd
import pytest

from slm_pipeline.s6_refine.evaluation import score_answers
from slm_pipeline.s6_refine.graded import failure_counts, graded_answers
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import TASKS, Said, call, example

SETTINGS = Settings()
ROWS = [
    (example(0, "test", call("now", city="Rome", days=1)), Said(call("now", city="rome", days="1")), "passed", ""),
    (example(1, "test", call("now", city="Rome", days=1)), Said(call("now", city="Oslo", days=2)), "wrong_arguments", "now.city, now.days"),
    (example(2, "test", call("now", city="Rome", days=1)), Said(call("now", city="Rome", days="two")), "invalid_arguments", "now.days"),
    (example(3, "test", call("now", city="Rome")), Said(call("forecast", city="Rome")), "wrong_tool", ""),
    (example(4, "test", call("now", city="Rome")), Said("In Rome it is warm."), "no_call", ""),
    (example(5, "test", "Which city?", form="text"), Said(call("now", city="Rome")), "needless_call", ""),
    (example(6, "test", "Which city?", form="text"), Said("No."), "other_text", ""),
    (example(7, "test", "Which city?", form="text"), Said("Which city?"), "passed", ""),
    (example(8, "test", call("now", city="Rome")), None, "no_answer", ""),
]


@pytest.fixture(scope="module")
def graded() -> pd.DataFrame:
    test = pd.DataFrame([row for row, *_ in ROWS])
    return graded_answers(test, score_answers("adapter", "factored", test, [said for _, said, *_ in ROWS], TASKS), TASKS, "call", SETTINGS)


@pytest.mark.parametrize(("row", "said", "verdict", "wrong"), ROWS, ids=[f"{verdict} {row['id']}" for row, _, verdict, _ in ROWS])
def test_every_kind_of_answer_has_its_verdict(graded, row, said, verdict, wrong):
    found = graded.set_index("id").loc[row["id"]]
    assert (found["verdict"], found["wrong_arguments"]) == (verdict, wrong)
    assert found["target"] == row["answer"]
    assert found["prompt"] == f"[system] weather\n\n[user] question {int(row['id'][-3:])}"


def test_failures_come_first_the_worst_of_them_first(graded):
    passed = (graded["verdict"] == "passed").tolist()
    assert passed == sorted(passed)
    failed = graded[graded["verdict"] != "passed"]
    assert failed["similarity"].is_monotonic_increasing
    assert failed["similarity"].iloc[0] == 0 < failed["similarity"].iloc[-1]


def test_counts_name_verdicts_and_arguments(graded):
    counts = failure_counts(graded)
    assert counts["verdicts"]["passed"] == 2
    assert counts["arguments"] == {"now.days": 2, "now.city": 1}


def test_a_checker_rejects():
    test = pd.DataFrame([row for row, *_ in ROWS[:2]])
    scored = score_answers("adapter", "factored", test, [said for _, said, *_ in ROWS[:2]], TASKS).assign(checked=[0.5, 1.0])
    rows = graded_answers(test, scored, TASKS, "checked", SETTINGS)
    assert rows["verdict"].tolist() == ["rejected", "passed"]
