"""Failures are counted once, by group, for ever, and only where the next adapter may learn from them."""

import json

import pandas as pd

from slm_pipeline.s6_refine.failures import ASSIGNMENT_COLUMNS, COLUMNS, CURATED_COLUMNS, count_failures, totals_table


def curated(i: int, split="train", failed="g v1", reason="wrong_tool", day="2026-10-02", drop=None) -> dict:
    answer = json.dumps({"text": "", "tool_calls": [{"name": "f", "arguments": {"x": i}}]})
    row = {"id": f"c{i}", "day": day, "split": split, "answer": answer, "drop_reason": drop}
    return row | {"failed_model": failed, "failed_answer": answer if failed else None, "failed_reason": reason if failed else None}


CURATED = pd.DataFrame(
    [
        curated(1),
        curated(2, reason="wrong_arguments", day="2026-10-03"),
        curated(3, split="test"),
        curated(4, failed=None),
        curated(5, drop="malformed"),
        curated(6),
        curated(7, split="validation"),
    ]
)
ASSIGNED = pd.DataFrame(
    [{"id": f"c{i}", "task": "t", "group": "h" if i == 7 else "g"} for i in (1, 2, 3, 4, 5, 7)]
    + [{"id": "c6", "task": None, "group": None}]
)


def test_only_trainable_failures_count():
    counts, rows = count_failures(CURATED, ASSIGNED)
    assert counts["g"] == {"total": 2, "by_reason": {"wrong_arguments": 1, "wrong_tool": 1}, "newest": "2026-10-03", "held_out": 1}
    assert counts["h"] == {"total": 0, "by_reason": {}, "newest": None, "held_out": 1}
    assert list(rows.columns) == COLUMNS
    assert list(rows["id"]) == ["c1", "c2"]
    assert rows["llm_answer"][0] == '{"name": "f", "arguments": {"x": 1}}'


def test_more_days_never_lower_a_total():
    before, _ = count_failures(CURATED[CURATED["day"] < "2026-10-03"], ASSIGNED)
    after, _ = count_failures(CURATED, ASSIGNED)
    assert all(after[group]["total"] >= before[group]["total"] for group in before)


def test_no_failures_and_no_days():
    counts, rows = count_failures(pd.DataFrame(columns=CURATED_COLUMNS), pd.DataFrame(columns=ASSIGNMENT_COLUMNS))
    assert counts == {}
    assert rows.empty
    assert totals_table(counts, {}, 20) == "No SLM answer has failed yet."


def test_the_table_says_how_far_a_retraining_is():
    counts, _ = count_failures(CURATED, ASSIGNED)
    table = totals_table(counts, {"g": 1}, 20)
    assert "| g | 2 | 1 | 19 | 1 | 2026-10-03 | wrong_arguments 1, wrong_tool 1 |" in table
    assert "| h | 0 | 0 | no adapter |" in table
