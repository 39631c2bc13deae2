import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from slm_pipeline.records import Answer, response_of
from slm_pipeline.s2_curate.curation import COLUMNS, curate_day
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s1_collect.calls import call

SETTINGS = Settings(canary_share=0)
NOTHING = np.array([], dtype=np.uint64)
DAY = "2026-10-02"


def sessions(split):
    return [s for s in (f"s{n}" for n in range(500)) if split_of(s, SETTINGS.split_key) == split]


TRAIN, TEST = sessions("train"), sessions("test")


def curate(calls, seen=NOTHING):
    return curate_day(calls, DAY, SETTINGS, lambda hashes: np.isin(hashes, seen))


def says(text):
    return response_of(Answer(text=text), "m")


def slm_failed(text="fine"):
    return {"served_by": "llm", "reason": "verifier", "attempts": [attempt("slm-1", "rejected", text)]}


def attempt(model, verdict, text, **more):
    return {"model": model, "verdict": verdict, "reason": "mismatch", "response": says(text)} | more


def test_the_table_has_the_agreed_columns_in_order_of_time():
    table, _, funnel, _ = curate([call(2, TRAIN[0], text="b"), call(1, TEST[0]), call(0, TRAIN[1], text="a")])
    assert tuple(table.columns) == COLUMNS
    assert list(table["id"]) == ["c0", "c1", "c2"]
    assert list(table["split"]) == ["train", "test", "train"]
    assert json.loads(table["answer"][0]) == {"text": "a", "tool_calls": []}
    assert set(table["target_source"]) == {"teacher"}
    assert funnel == {"kept": 3, "calls": 3, "redactions": {}, "left": {}, "canaries": 0}


def test_the_order_of_arrival_does_not_matter():
    calls = [call(n, TRAIN[n % 3], text=f"answer {n % 4} to jo{n % 2}@example.com") for n in range(12)]
    first, second = curate(calls), curate(reversed(calls))
    assert first.calls.equals(second.calls)
    assert first.funnel == second.funnel
    assert (first.repeats == second.repeats).all()


def test_only_the_first_of_exact_repeats_is_trained_on_and_only_in_the_training_split():
    table, _, funnel, _ = curate([call(n, session) for n, session in enumerate((*TRAIN[:3], *TEST[:3]))])
    assert table["drop_reason"].fillna("").tolist() == ["", "exact_repeat", "exact_repeat", "", "", ""]
    assert funnel == {"exact_repeat": 2, "kept": 4, "calls": 6, "redactions": {}, "left": {}, "canaries": 0}


def test_a_repeat_of_an_earlier_day_is_known_by_its_hash():
    yesterday = curate([call(0, TRAIN[0])])
    table, _, _, repeats = curate([call(1, TRAIN[1]), call(2, TRAIN[2], text="other")], yesterday.repeats)
    assert table["drop_reason"].fillna("").tolist() == ["exact_repeat", ""]
    assert len(repeats) == 2  # what a day holds does not depend on the days before


def test_another_answer_or_question_is_no_repeat():
    table, *_ = curate([call(0, TRAIN[0]), call(1, TRAIN[1], text="bad"), call(2, TRAIN[2], question="who?")])
    assert table["drop_reason"].isna().all()


def test_a_failure_is_kept_although_it_repeats_and_says_who_failed():
    table, *_ = curate([call(0, TRAIN[0]), call(1, TRAIN[1], route=slm_failed("wrong, jo@example.com"))])
    row = table.iloc[1]
    assert table["drop_reason"].isna().all()
    assert (row["failed_model"], row["failed_reason"], row["served_by"]) == ("slm-1", "mismatch", "llm")
    said = json.loads(row["failed_answer"])["text"]
    assert said.startswith("wrong, ")
    assert "@" in said
    assert "jo@example.com" not in said
    assert json.loads(row["answer"])["text"] == "fine"


def test_identifiers_that_give_away_personal_data_are_hidden_and_stay_distinct():
    table, *_ = curate([call(n, f"session of jo{n}@example.com", client_id="jo@example.com") for n in range(3)])
    assert table["session_id"].nunique() == 3
    assert not table["session_id"].str.contains("@").any()
    assert not table["client_id"].str.contains("@").any()


def test_tokens_and_cost_are_kept_where_they_were_recorded():
    response = says("fine") | {"usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}}
    table, *_ = curate([call(0, TEST[0], response=response, cost=0.5), call(1, TEST[1])])
    assert table["tokens"].tolist() == [12, pd.NA]
    assert table["cost"].fillna(-1).tolist() == [0.5, -1]


def test_a_bad_surrogate_in_an_answer_can_be_written(tmp_path):
    arguments = '{"a": "\\ud83d"}'
    message = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": arguments}}]}
    table, *_ = curate([call(0, TEST[0], response={"choices": [{"message": message}]})])
    table.to_parquet(tmp_path / "calls.parquet")


SLM_SAID = "an answer of the small model"
attempts = st.lists(
    st.builds(
        attempt,
        model=st.just("slm-1"),
        verdict=st.sampled_from(["accepted", "rejected", "error"]),
        text=st.just(SLM_SAID),
        role=st.sampled_from(["student", "router"]),
    ),
    max_size=3,
)
teachers = st.lists(st.just(attempt("gpt", "accepted", "the teacher's word", role="teacher")), max_size=1)


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.sampled_from(TRAIN[:9] + TEST[:9]), attempts, teachers, st.sampled_from([None, {"success": True}, {"reward": 1.0}]))
def test_no_answer_that_an_slm_served_becomes_a_target(session, tried, taught, outcome):
    route = {"served_by": "slm", "attempts": [*tried, *taught]}
    served = call(0, session, text=SLM_SAID, outcome=outcome, route=route)
    row = curate([served]).calls.iloc[0]
    if taught:
        assert json.loads(row["answer"])["text"] == "the teacher's word"
    else:
        assert row[["answer", "target_source"]].isna().all()
        assert row["drop_reason"] == "slm_served"


@pytest.mark.parametrize("source", ["gold", "correction"])
def test_gold_and_corrections_are_targets_whoever_served(source):
    outcome = {source: {"role": "assistant", "content": "right"}}
    row = curate([call(0, TRAIN[0], text=SLM_SAID, outcome=outcome, route={"served_by": "slm"})]).calls.iloc[0]
    assert (row["target_source"], json.loads(row["answer"])["text"]) == (source, "right")


TRY = {"model": "slm", "verdict": "rejected", "response": None}


@pytest.mark.parametrize(
    ("route", "chosen"),
    [
        (None, False),
        ({"served_by": "llm", "reason": "not_certified"}, False),
        ({"served_by": "llm", "reason": "unlikely"}, True),
        ({"served_by": "llm", "reason": "verifier", "attempts": [TRY]}, True),
        ({"served_by": "llm", "reason": "no_release", "attempts": [TRY | {"role": "shadow"}]}, False),
        ({"served_by": "slm"}, True),
        ({"served_by": "slm", "sampled": True}, False),
        ({"served_by": "llm", "reason": "verifier", "attempts": [TRY], "sampled": True}, False),
    ],
)
def test_what_router_or_verifier_chose_is_known_unless_it_was_drawn_uniformly(route, chosen):
    row = curate([call(0, TEST[0], outcome=None, **({"route": route} if route else {}))]).calls.iloc[0]
    assert row["chosen"] == chosen


def test_an_audit_says_what_the_teacher_said():
    taught = attempt("gpt", "accepted", "the teacher's word", role="teacher")
    row = curate([call(0, TEST[0], text=SLM_SAID, route={"served_by": "slm", "sampled": True, "attempts": [taught]})]).calls.iloc[0]
    assert json.loads(row["teacher_answer"])["text"] == json.loads(row["answer"])["text"] == "the teacher's word"
