"""Slices cut the test split by length, language and rarity of the tool; small ones are marked, none is made up."""

import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s6_refine.evaluation import score_answers
from slm_pipeline.s6_refine.slices import slice_scores, slices_of
from slm_pipeline.settings import Settings
from slm_pipeline_tests.s6_refine.samples import TASKS, Said, call, example, right

SETTINGS = Settings(bootstrap_samples=200, min_slice_calls=10, rare_tool_share=0.2)
GERMAN = "Wie wird das Wetter morgen in der Stadt, und ist es nicht zu kalt für einen Spaziergang mit den Kindern und dem Hund?"
ENGLISH = "What will the weather be in the city tomorrow, and is it not too cold for a walk with the children and the dog?"


def asked(i: int, text: str, answer: str, split: str = "test", form: str = "tool_call") -> dict:
    messages = json.dumps([{"role": "system", "content": "weather"}, {"role": "user", "content": text}])
    return example(i, split, answer, form, messages=messages, full_messages=messages)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40))
def test_thirds_hold_every_example_once_in_order_of_length(lengths):
    test = pd.DataFrame([asked(i, "x" * n, call("now")) for i, n in enumerate(lengths)])
    labels = slices_of(test, test, SETTINGS)["prompt length"]
    assert len(labels) == len(lengths)
    assert [label for _, label in sorted(zip(lengths, labels, strict=True))] == sorted(labels)
    if len(set(lengths)) == len(lengths) >= 3:
        counts = labels.value_counts()
        assert counts.max() - counts.min() <= 1


def test_tools_are_common_rare_or_never_trained_on():
    training = pd.DataFrame([asked(i, "q", call("now" if i else "forecast"), "train") for i in range(10)])
    test = pd.DataFrame(
        [asked(0, "q", call("now")), asked(1, "q", call("forecast")), asked(2, "q", call("alert")), asked(3, "q", "Where?", form="text")]
    )
    labels = slices_of(test, training, SETTINGS)["tool"]
    assert labels.tolist() == ["common", "rare, under 20% of calls", "never trained on"]


def test_a_slice_has_its_own_scores_and_small_ones_are_marked():
    rows = [asked(i, ENGLISH, call("now", city=f"C{i}", days=i)) for i in range(20)]
    rows += [asked(20 + i, GERMAN, call("now", city="Nowhere", days=1)) for i in range(4)]
    test = pd.DataFrame(rows)
    frames = [
        score_answers("base", "full", test, [Said("{}") for _ in rows], TASKS),
        score_answers("adapter", "factored", test, right(test, 0.5), TASKS),
    ]
    found = slice_scores(test, test, pd.concat(frames, ignore_index=True), "call", SETTINGS)
    languages = {row["slice"]: row for row in found if row["by"] == "language"}
    assert languages.keys() == {"en", "de"}
    assert (languages["en"]["n"], languages["en"]["few"], languages["de"]["n"], languages["de"]["few"]) == (20, False, 4, True)
    assert languages["en"]["adapter"]["mean"] == pytest.approx(0.5)
    assert languages["de"]["gain"]["mean"] == 1
    assert not [row for row in found if row["by"] == "tool"], "all calls are of one tool: a slice that is the whole split says nothing"
