"""The ranking is a total order that measured accuracy leads."""

import random

from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s4_select.selection import Probe, explain, rank


def probe(name="Tiny", form="full", accuracy=0.5, similarity=0.5, params=1000, tokens=100.0, n=24):
    return Probe(name, form, n, accuracy, 0.1, 0.9, similarity, tokens, params)


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
