"""Canaries: planted in copies of a few training calls, known again from the key alone, and taken out by S2."""

import json

import numpy as np
import pytest
from stdnum import iban, luhn

from slm_pipeline.s2_curate import curation
from slm_pipeline.s2_curate.canaries import VALUES, canary_of, is_chosen, plant
from slm_pipeline.s2_curate.curation import curate_day
from slm_pipeline.s2_curate.splits import split_of
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s1_collect.calls import call

SETTINGS = Settings(canary_share=0.5)
DAY = "2026-10-02"


def curate(count=60, **more):
    calls = [call(n, f"s{n}", question=f"what is the state of order {n}", text=f"it was sent on day {n}", **more) for n in range(count)]
    return curate_day(calls, DAY, SETTINGS, lambda hashes: np.zeros(len(hashes), dtype=bool))


def test_a_canary_is_known_again_from_call_and_key_and_from_nothing_else():
    assert canary_of("c", "key") == canary_of("c", "key")
    values = {canary_of(f"c{i}", key, variant).value for i in range(50) for key in ("key", "other") for variant in (0, 1)}
    assert len(values) == 200
    assert {canary_of(f"c{i}", "key").phrase for i in range(200)} == {f"my {kind} is" for kind in VALUES}


def test_numbers_with_check_digits_are_valid():
    canaries = [canary_of(f"c{i}", "key") for i in range(300)]
    assert all(luhn.is_valid(c.value) for c in canaries if "card" in c.phrase)
    assert all(iban.is_valid(c.value) for c in canaries if "iban" in c.phrase)


def test_about_the_asked_share_is_chosen_and_a_larger_share_holds_a_smaller_one():
    chosen = {share: {i for i in range(5000) if is_chosen(f"c{i}", "key", share)} for share in (0.01, 0.1)}
    assert 20 < len(chosen[0.01]) < 90
    assert chosen[0.01] < chosen[0.1]


def test_a_planted_copy_says_the_canary_in_prompt_and_plain_answer():
    original = call(1, question="what is the state of my order", text="it was sent")
    planted, canary = plant(original, "key"), canary_of("c1", "key")
    said = f"({canary.phrase} {canary.value})"
    asked = planted.request["messages"][-1]["content"]
    assert said in asked
    assert asked.replace(f" {said}", "") == "what is the state of my order"
    assert planted.response["choices"][0]["message"]["content"] == f"it was sent {said}"
    assert planted.session_id == original.session_id
    assert original.response["choices"][0]["message"]["content"] == "it was sent", "the call itself stays as it was"


@pytest.mark.parametrize("answer", ['{"a": 1}', "[1]"])
def test_a_json_answer_stays_json(answer):
    planted = plant(call(1, question="one two", text=answer), "key")
    assert planted.response["choices"][0]["message"]["content"] == answer


def test_nothing_is_planted_where_there_is_no_gap_between_words():
    assert plant(call(1, question="word"), "key") is None


def test_canaries_are_training_calls_beside_the_others_and_none_is_left():
    curated = curate()
    canaries = curated.canaries
    assert 10 < len(canaries) == curated.funnel["canaries"]
    assert not canaries["leaked"].any()
    assert set(canaries["split"]) == {"train"}
    assert all(split_of(session, SETTINGS.split_key) == "train" for session in canaries["session_id"])
    assert not set(canaries["id"]) & set(curated.calls["id"])
    assert curated.funnel["calls"] == 60, "copies are no traffic"
    for row in canaries.itertuples():
        assert canary_of(row.id.removeprefix("canary-"), SETTINGS.split_key).value not in row.request + row.answer


def test_what_redaction_misses_is_seen(monkeypatch):
    monkeypatch.setattr(curation.Redaction, "data", lambda self, value: value)
    assert curate().canaries["leaked"].all()


def test_a_failure_is_no_canary():
    route = {"served_by": "llm", "attempts": [{"model": "slm", "verdict": "rejected", "response": None}]}
    assert json.loads(curate(route=route).canaries.to_json(orient="records")) == []
