"""What a day's calls used is noted without a word of what they say."""

import pandas as pd
import pytest

from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.usage import TYPES, usage_of, usage_table
from slm_pipeline_tests.s1_collect.calls import call

SECRET = "the user's own words"
USAGE = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
ATTEMPT = {"model": "g v1", "verdict": "accepted", "latency_ms": 200.0, "tokens": 7}


def noted(**more) -> dict:
    made = call(question=SECRET, text=SECRET, **({"latency_ms": 1000.0} | more))
    return usage_table([usage_of(AgentCall.model_validate(made.model_dump()), "key")]).iloc[0].to_dict()


def answered(**usage) -> dict:
    return {"model": "m-2026", "choices": [{"message": {"role": "assistant", "content": SECRET}}], "usage": USAGE | usage}


def test_a_call_of_the_llm_has_its_tokens_cost_and_time():
    row = noted(response=answered(), cost=0.5)
    assert (row["model"], row["prompt_tokens"], row["completion_tokens"], row["cost"]) == ("m", 90, 10, 0.5)
    assert (row["latency_ms"], row["llm_ms"]) == (1000, 1000)
    assert pd.isna(row["served_by"])


def test_of_a_fall_back_the_slms_time_is_told_from_the_llms():
    attempts = [ATTEMPT | {"verdict": "rejected"}, {"model": "m", "role": "teacher", "verdict": "accepted"}]
    route = {"served_by": "llm", "reason": "verifier", "release": "r", "attempts": attempts}
    row = noted(response=answered(), route=route)
    assert (row["slm_ms"], row["llm_ms"], row["latency_ms"]) == (200, 800, 1000)
    assert (row["release"], row["reason"]) == ("r", "verifier")


def test_what_an_slm_served_has_the_tokens_of_its_audit_alone():
    route = {"served_by": "slm", "reason": "certified", "release": "r", "attempts": [ATTEMPT]}
    row = noted(response=answered(), route=route, cost=0.5)
    assert all(pd.isna(row[name]) for name in ("prompt_tokens", "completion_tokens", "cost", "llm_ms", "agrees"))
    audit = {"model": "m", "role": "teacher", "verdict": "accepted", "reason": "audit", "latency_ms": 700.0, "agrees": False}
    route["attempts"].append(audit | {"response": answered(prompt_tokens=80)})
    row = noted(response=answered(), route=route)
    assert (row["prompt_tokens"], row["llm_ms"], row["agrees"]) == (80, 700, 0)


def test_nothing_that_was_said_is_noted():
    route = {"served_by": "slm", "release": "r", "attempts": [ATTEMPT | {"response": answered()}]}
    row = noted(response=answered(), route=route, session_id="jo@example.com")
    assert SECRET not in str(row)
    assert "jo@example.com" not in str(row)
    assert set(row) == set(TYPES)


def test_longer_calls_are_estimated_to_be_of_more_tokens():
    short, long = noted(request={"model": "m", "messages": [{"role": "user", "content": "x"}]}), noted()
    assert 0 < short["prompt_estimate"] < long["prompt_estimate"]
    assert long["completion_estimate"] >= len(SECRET) / 4


@pytest.mark.parametrize("tokens", [-1, "many", None, 2**40, [1]])
def test_tokens_that_are_no_count_are_not_recorded(tokens):
    assert pd.isna(noted(response=answered(prompt_tokens=tokens))["prompt_tokens"])


def test_a_name_that_no_file_can_hold_is_mended(tmp_path):
    row = usage_of(call(request={"model": "m\ud800", "messages": [{"role": "user", "content": "\ud800"}]}), "key")
    usage_table([row]).to_parquet(tmp_path / "usage.parquet")
    assert row["model"] == "m?"
