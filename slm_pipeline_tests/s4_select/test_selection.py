"""Every refusal has its reason; the ranking is a total order that measured accuracy leads."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s4_select.catalogue import CatalogueEntry, load_catalogue
from slm_pipeline.s4_select.selection import Probe, explain, hard_filters, rank
from slm_pipeline.settings import Settings

SETTINGS = Settings(base_models=("Tiny",))
ENTRIES = load_catalogue()
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


def judge(entry=TINY, present=("Tiny",), settings=SETTINGS, tokens=1000):
    return hard_filters([entry], present, settings, tokens)[0]


def probe(name="Tiny", form="full", accuracy=0.5, similarity=0.5, params=1000, tokens=100.0, n=24):
    return Probe(name, form, n, accuracy, 0.1, 0.9, similarity, tokens, params)


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
    last = hard_filters([TINY], ["Tiny"], Settings(base_models=("Tiny", "Tyni")), 1)[-1]
    assert (last.name, last.ok, last.reason) == ("Tyni", False, "named in settings.base_models, but not in the catalogue")


def test_by_default_one_base_of_the_catalogue_passes():
    candidates = hard_filters(ENTRIES, {"SmolLM2-135M-Instruct"}, Settings(), 3456)
    assert [c.name for c in candidates if c.ok] == ["SmolLM2-135M-Instruct"]
    assert all(c.reason for c in candidates if not c.ok)


@given(st.sets(st.sampled_from([e.name for e in ENTRIES])), st.integers(0, 200_000))
def test_a_candidate_passes_exactly_if_there_is_no_reason_against_it(present, tokens):
    candidates = hard_filters(ENTRIES, present, Settings(base_models=tuple(sorted(present))), tokens)
    assert [c.name for c in candidates] == [e.name for e in ENTRIES]
    assert all(c.ok == (c.reason == "") for c in candidates)
    assert {c.name for c in candidates if c.ok} <= present


def test_accuracy_leads_then_similarity_then_size_then_prompt():
    ordered = [
        probe(accuracy=0.6, similarity=0.1, params=9000, tokens=900),
        probe(similarity=0.6, params=9000, tokens=900),
        probe(params=900, tokens=900),
        probe(tokens=90),
        probe(tokens=91),
    ]
    assert rank(ordered[::-1]) == ordered


@given(st.lists(st.sampled_from([0.0, 0.1, 0.5]), min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_the_order_of_probing_does_not_matter(accuracies, shuffle: random.Random):
    probes = [probe(name=f"B{i // 2}", form=("full", "factored")[i % 2], accuracy=a) for i, a in enumerate(accuracies)]
    ranked = rank(probes)
    shuffle.shuffle(probes)
    assert rank(probes) == ranked
    assert ranked[0].accuracy == max(accuracies)


def test_one_base_is_said_to_be_no_choice():
    why = explain([probe(form="factored", accuracy=0.125)])
    assert why == (
        "Tiny is the only base that passed the filters, so there was no choice of base. "
        "With the factored prompt it answered 12.5% of 24 validation calls."
    )


def test_of_several_bases_the_runner_up_is_named():
    ranked = rank([probe(n, f, a) for n, f, a in (("A", "full", 0.1), ("A", "factored", 0.2), ("B", "full", 0.5), ("B", "factored", 0.4))])
    assert explain(ranked).startswith("B answered 50.0% of 24 validation calls, next is A with 20.0% of 24 validation calls.")


def test_without_validation_examples_nothing_is_claimed():
    assert "nothing was measured" in explain(rank([probe(n=0), probe(n=0, form="factored")]))
