"""Every refusal has its reason, and the numbers behind it."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s4_select.candidates import hard_filters, unfit
from slm_pipeline.s4_select.catalogue import CatalogueEntry, load_catalogue
from slm_pipeline.s4_select.device import device_of
from slm_pipeline.s4_select.lengths import Lengths, group_lengths
from slm_pipeline.s4_select.panels import candidate_metadata
from slm_pipeline.settings import Settings

SETTINGS = Settings(base_models=("Tiny",))
ENTRIES = load_catalogue()
DEVICE = device_of(SETTINGS, "laptop")
LENGTHS = Lengths(100, 768, 40, 384, 9)
TINY = CatalogueEntry(
    name="Tiny",
    hub_id="someone/tiny",
    params=1000,
    architecture="transformer",
    context=2048,
    licence="MIT",
    open=True,
    chat_template=True,
    source="https://example.org/tiny",
)
BIG = next(e for e in ENTRIES if e.name == "Llama-xLAM-2-8b-fc-r")


def judge(entry=TINY, present=("Tiny",), settings=SETTINGS, tokens=1000, device=DEVICE, lengths=LENGTHS):
    return hard_filters([entry], present, settings, tokens, device, lengths)[0]


def test_a_base_that_fits_passes():
    assert judge().ok
    assert judge().reason == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"refused": "needs remote code"}, "needs remote code"),
        ({"params": 10_000_000_000}, "too large: 10.00 B, the limit is 10.00 B"),
        ({"open": False}, "licence is not open: MIT; settings.restricted_licences allows it"),
        ({"open": False, "licence": None}, "licence is not open: not confirmed; settings.restricted_licences allows it"),
        ({"context": 999}, "context too small: 999 tokens, prompt and answer need 1000"),
    ],
)
def test_a_refusal_says_why(change, reason):
    candidate = judge(TINY.model_copy(update=change))
    assert not candidate.ok
    assert candidate.reason == reason


def test_a_base_that_is_not_here_is_refused_with_its_hub_id():
    assert judge(present=()).reason == "weights are not on this machine: hub id someone/tiny"


def test_a_base_nobody_asked_for_is_refused():
    assert judge(settings=Settings(base_models=("Other",))).reason == "not asked for: add it to settings.base_models"


def test_all_reasons_are_given():
    assert judge(TINY.model_copy(update={"open": False, "context": 10}), present=()).reason.count(";") == 3


def test_an_unconfirmed_context_is_no_reason():
    assert judge(TINY.model_copy(update={"context": None}), tokens=10**6).ok


def test_restricted_licences_may_be_allowed():
    assert judge(TINY.model_copy(update={"open": False}), settings=Settings(base_models=("Tiny",), restricted_licences=True)).ok


def test_a_name_that_no_entry_has_is_refused_too():
    last = hard_filters([TINY], ["Tiny"], Settings(base_models=("Tiny", "Tyni")), 1, DEVICE, LENGTHS)[-1]
    assert (last.name, last.ok, last.reason) == ("Tyni", False, "named in settings.base_models, but not in the catalogue")


def test_by_default_one_base_of_the_catalogue_passes():
    candidates = hard_filters(ENTRIES, {"SmolLM2-135M-Instruct"}, Settings(), 3456, DEVICE, LENGTHS)
    assert [c.name for c in candidates if c.ok] == ["SmolLM2-135M-Instruct"]
    assert all(c.reason for c in candidates if not c.ok)


@given(st.sets(st.sampled_from([e.name for e in ENTRIES])), st.integers(0, 200_000))
def test_a_candidate_passes_exactly_if_there_is_no_reason_against_it(present, tokens):
    candidates = hard_filters(ENTRIES, present, Settings(base_models=tuple(sorted(present))), tokens, DEVICE, LENGTHS)
    assert [c.name for c in candidates] == [e.name for e in ENTRIES]
    assert all(c.ok == (c.reason == "") for c in candidates)
    assert {c.name for c in candidates if c.ok} <= present


def test_what_does_not_fit_or_is_too_slow_is_refused_with_the_numbers():
    settings = Settings(base_models=(BIG.name,), restricted_licences=True)
    reason = judge(BIG, [BIG.name], settings).reason
    assert "does not fit: 8.88 GB as q8_0, laptop gives a model 8 GB" in reason
    assert "s for 768 + 384 tokens (p95) on laptop, the limit is 10 s" in reason
    assert judge(BIG, [BIG.name], settings, device=device_of(settings, "gpu")).ok


def test_short_calls_are_fast_enough_where_long_ones_are_not():
    settings = Settings(base_models=("SmolLM3-3B",))
    entry = next(e for e in ENTRIES if e.name == "SmolLM3-3B")
    assert "too slow" in judge(entry, ["SmolLM3-3B"], settings).reason
    assert judge(entry, ["SmolLM3-3B"], settings, lengths=Lengths(50, 100, 20, 40, 9)).ok


def examples(words, n=20):
    messages = json.dumps([{"role": "user", "content": "word " * words}])
    return pd.DataFrame({"messages": [messages] * n, "answer": ["yes " * words] * n})


def test_a_group_is_judged_by_its_own_lengths(tmp_path):
    settings = Settings(home=tmp_path, device="phone", max_latency_seconds=5)
    entry = next(e for e in ENTRIES if e.name == "SmolLM2-1.7B-Instruct")
    assert unfit({entry.name: entry}, examples(5), settings) == {}
    assert "too slow" in unfit({entry.name: entry}, examples(500), settings)[entry.name]


def test_lengths_are_cut_off_at_what_the_settings_let_through(tmp_path):
    settings = Settings(home=tmp_path, max_prompt_tokens=100, max_answer_tokens=50)
    assert group_lengths(examples(5000), settings) == Lengths(100, 100, 50, 50, 20)
    assert group_lengths(examples(0).head(0), settings).n == 0


def test_the_panel_shows_every_candidate_a_plot_and_the_thresholds(tmp_path):
    settings = Settings(home=tmp_path)
    judged = hard_filters(ENTRIES, set(), settings, 3456, DEVICE, LENGTHS)
    shown = candidate_metadata(judged, settings)
    assert all(c.name in shown["candidates"].value for c in judged)
    assert shown["context"].value.startswith("![memory and time per token against context](data:image/png;base64,")
    assert (shown["threshold: memory (GB)"], shown["threshold: seconds at p95"]) == (8, 10)
