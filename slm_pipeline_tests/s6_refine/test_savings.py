"""What SLMs served and saved: by hand-made calls whose figures can be worked out."""

import json
from datetime import date

import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.plots import rounds_png
from slm_pipeline.prices import Row
from slm_pipeline.s1_collect.usage import RAW, USAGE
from slm_pipeline.s6_refine.costs import by_agent_and_task, costed, read_calls, unpriced
from slm_pipeline.s6_refine.reports import NOT_YET, savings_markdown, usd
from slm_pipeline.s6_refine.savings import savings
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.served import HOUR, calls, llm, slm

SETTINGS = Settings(bootstrap_samples=200, machine_hour_usd=0.01, alpha=0.1)
PRICES = {"priced": [Row(model="priced", input=10, output=100, since=date(2020, 1, 1), source="a test")]}
CALL = 0.02  # USD that the LLM takes for a call: 1,000 tokens read and 100 written


def found(*rows, apart=HOUR):
    return savings(costed(calls(*rows, apart=apart), PRICES), SETTINGS)


def test_a_recorded_cost_counts_before_the_table_and_what_has_neither_has_none():
    table = costed(calls(llm(), llm(cost=0.5), llm(model="mystery")), PRICES)
    assert table["usd"].tolist()[:2] == [pytest.approx(CALL), 0.5]
    assert table["usd"].isna().tolist() == [False, False, True]
    assert unpriced(table) == {"calls": 1, "of": 3, "models": {"mystery": 1}}


def test_tokens_that_nobody_counted_are_estimated_at_the_ratio_of_those_that_were():
    twice = {"prompt_estimate": 500.0, "completion_estimate": 50.0}
    table = costed(
        calls(llm(**twice), llm(prompt_tokens=None, completion_tokens=None, prompt_estimate=250.0, completion_estimate=25.0)), PRICES
    )
    assert table["tokens"].tolist() == [1100, 550]
    assert table["usd"].tolist() == [pytest.approx(CALL), pytest.approx(CALL / 2)]


def test_what_an_slm_served_would_have_cost_the_llms_price_and_only_its_audit_was_paid_for():
    table = costed(calls(llm(), slm("r"), slm("r", True)), PRICES)
    assert table["alone_usd"].tolist() == pytest.approx([CALL] * 3)
    assert table["usd"].tolist() == pytest.approx([CALL, 0, CALL])


def test_traffic_is_counted_by_agent_and_task_as_if_the_llm_had_answered():
    table = by_agent_and_task(costed(calls(llm(), slm("r"), llm(agent="b", task=None, model="mystery")), PRICES))
    first, second = table.to_dict("records")
    assert (first["agent"], first["task"], first["calls"], first["tokens"], first["cost"]) == ("a", "t", 2, 2200, pytest.approx(2 * CALL))
    assert (second["agent"], second["calls"], second["tokens"]) == ("b", 1, 1100)
    assert second["cost"] != second["cost"], "nobody knows"


def test_money_is_what_was_spent_idle_hours_and_audits_included():
    """Ten calls one hour apart: five of the SLM, one of them audited, five of the LLM; the last hour has not passed."""
    rows = [*(llm("r", "no_task") for _ in range(5)), slm("r", True), *(slm("r") for _ in range(4))]
    row = found(*rows)["in_all"]
    assert row["alone_usd"] == pytest.approx(10 * CALL)
    assert row["spent_usd"] == pytest.approx(5 * CALL + CALL + 9 * 0.01)
    assert row["saved_usd"] == pytest.approx(row["alone_usd"] - row["spent_usd"])
    assert row["usd_per_correct"] == pytest.approx(row["spent_usd"] / 10)
    assert row["alone_usd_per_correct"] == pytest.approx(CALL)


def test_what_a_checker_knows_to_be_right_is_not_wrong_for_an_audit_that_says_otherwise():
    row = found(slm("r", False), slm("r", False, reason="checker"), slm("r", True))["in_all"]
    assert (row["audits"], row["checked"]) == (2, 1)
    assert row["wrong"]["mean"] == pytest.approx(1 / 3)
    sure = found(llm(), slm("r", False, reason="checker"), slm("r", reason="checker"))
    assert (sure["in_all"]["wrong"]["mean"], sure["in_all"]["wrong"]["high"]) == (0, 0)
    told = savings_markdown(sure, {"calls": 0, "of": 3, "models": {}}, {})
    assert "A checker that knows what is right has passed 2 of these answers." in told
    assert "audited answers" not in told
    assert f"A correct call cost {usd(sure['in_all']['usd_per_correct'])}, the LLM" in told, "nothing is unknown, so there is no interval"


def test_a_machine_that_idles_costs_more_than_it_saves_and_the_figures_say_so():
    idle = found(llm(), *(slm("r") for _ in range(3)), apart=100 * HOUR)
    row = idle["in_all"]
    assert row["saved_usd"] < 0
    assert row["usd_per_correct"] > row["alone_usd_per_correct"]
    assert f"**{usd(-row['saved_usd'])} lost**" in savings_markdown(idle, {"calls": 0}, {})


def test_answers_are_as_wrong_as_audits_say_and_before_the_first_as_is_promised():
    base = [llm(), *(llm("r", "no_task") for _ in range(10))]
    wrong = found(*base, *(slm("r", i >= 5) for i in range(20)))["in_all"]
    assert wrong["wrong"]["mean"] == pytest.approx(5 / 20)
    assert wrong["wrong"]["low"] < 0.25 < wrong["wrong"]["high"]
    assert wrong["usd_per_correct"] == pytest.approx(wrong["spent_usd"] / (10 + 20 * 0.75))
    assert wrong["usd_per_correct_low"] < wrong["usd_per_correct"] < wrong["usd_per_correct_high"]
    none = found(*base, *(slm("r", True) for _ in range(4)))["in_all"]["wrong"]
    assert none["mean"] == 0
    assert none["high"] > 0.5, "four audits without a fault say little"
    unaudited = found(*base, *(slm("r") for _ in range(20)))["in_all"]
    assert (unaudited["audits"], unaudited["wrong"]["mean"]) == (0, SETTINGS.alpha)
    assert unaudited["usd_per_correct"] == pytest.approx(unaudited["spent_usd"] / (10 + 20 * 0.9))


def test_if_every_answer_is_wrong_a_correct_call_has_no_price():
    row = found(llm(), slm("r", False), slm("r", False))["in_all"]
    assert row["usd_per_correct"] is None
    assert row["spent_usd"] > 0


def test_the_trend_tells_releases_apart_in_the_order_in_which_they_came():
    first = [*(llm("z", "verifier") for _ in range(3)), slm("z")]
    second = [llm("a", "no_task"), *(slm("a", True) for _ in range(3))]
    rounds = found(llm(), *first, *second)["rounds"]
    assert [row["release"] for row in rounds] == ["z", "a"]
    assert [row["share"]["mean"] for row in rounds] == [0.25, 0.75]
    assert [row["reasons"] for row in rounds] == [{"verifier": 0.75}, {"no_task": 0.25}]
    assert [row["audits"] for row in rounds] == [0, 3]
    assert rounds[0]["share"]["low"] < 0.25 < rounds[0]["share"]["high"]
    assert rounds_png(rounds).startswith(b"\x89PNG")


def test_latency_is_compared_within_a_task_and_failed_tries_count_against_it():
    slow = {"task": "slow", "latency_ms": 9000.0, "llm_ms": 9000.0}
    tried = llm("r", "verifier", slm_ms=500.0, latency_ms=1500.0)
    row = found(llm(), llm(**slow), tried, slm("r"), slm("r"))["in_all"]
    assert (row["slm_ms"], row["llm_ms"]) == (200, 1000), "no call of the slow task was served"
    assert row["saved_seconds"] == pytest.approx((2 * (1000 - 200) - 500) / 1000)


def test_agents_tasks_and_groups_have_their_own_figures_without_the_machine():
    rows = found(llm(), slm("r"), slm("r"), llm("r", "no_task", agent="b", task=None, group=None))
    assert [(row["agent"], row["calls"], row["slm"]) for row in rows["agents"]] == [("a", 2, 2), ("b", 1, 0)]
    assert [(row["task"], row["saved_usd"]) for row in rows["tasks"]] == [("t", pytest.approx(2 * CALL))]


def test_calls_before_the_first_release_save_nothing():
    assert found(llm(), llm()) is None
    assert savings_markdown(None, {"calls": 0}, {}) == NOT_YET


def test_what_is_unknown_is_left_out_of_money_and_said():
    told = found(llm(model="mystery"), llm("r", "no_task", model="mystery"), slm("r", model="mystery"))
    assert told["in_all"]["priced"] == 0
    assert told["in_all"]["saved_usd"] is None
    text = savings_markdown(told, {"calls": 3, "of": 3, "models": {"mystery": 2, "odd|name": 1}}, {})
    assert "3 of 3 calls cost is not known" in text
    assert "mystery (2)" in text
    assert json.dumps(told, allow_nan=False)


def test_the_report_shows_the_trend_with_intervals_and_holds_no_broken_table():
    rows = [llm(), *(llm("release-1", "verifier") for _ in range(6)), *(slm("release-1", i > 0, agent="a|b") for i in range(6))]
    text = savings_markdown(found(*rows), {"calls": 0}, {"t": "Weather"})
    assert "| release- | 2026-10-" in text
    assert "| Weather |" in text
    assert "a\\|b" in text
    assert "16.7% [" in text, "audited wrong"
    for block in text.split("\n\n"):
        lines = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_amounts_read_well():
    assert [usd(amount) for amount in (None, 0, 12.3456, 0.00375, -1234.5)] == [
        "–",
        "0.00 USD",
        "12.35 USD",
        "0.00375 USD",
        "-1,234.50 USD",
    ]


def test_calls_are_read_from_the_days_that_were_booked(tmp_path):
    lake, table = Lake(str(tmp_path)), calls(llm(), slm("r"))
    lake.write(RAW, "2026-10-01", {"manifest": {}, USAGE: table.drop(columns="task")})
    lake.write("s3_cluster/task_assignments", "2026-10-01", {"assignments": table[["id", "task"]].head(1)})
    lake.write(RAW, "2026-10-02", {"manifest": {}})  # of an older version
    read = read_calls(lake)
    assert read["task"].tolist()[0] == "t"
    assert read["task"].isna().tolist() == [False, True]
    assert read_calls(Lake(str(tmp_path / "empty"))).empty
