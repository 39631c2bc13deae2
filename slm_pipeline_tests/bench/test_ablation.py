"""What each part adds: measured on a random model, of whose answers nothing is right."""

import itertools

import numpy as np
import pandas as pd
import pytest

from slm_pipeline.bench import ablation
from slm_pipeline.bench.ablation import PARTS, _surest, _threshold, _together
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.bench.test_folds import step_calls
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base

PUZZLES = list(itertools.combinations(range(2, 12), 3))


def test_a_random_models_answers_are_all_wrong_whatever_is_added(home, monkeypatch, tmp_path, capfd):
    for name, value in (SETTINGS | {"SLM_MAX_ANSWER_TOKENS": "120", "SLM_MAX_SAMPLES": "2"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ablation, "CALLS", 4)
    make_tiny_base(home)
    traffic = tmp_path / "calls.jsonl"
    traffic.write_text("\n".join(step_calls(PUZZLES)))
    figures = ablation.measure(get_settings(), traffic)
    assert figures["n"] == 4
    for part in PARTS:
        assert figures[f"{part}_right"] == 0
        assert figures[f"{part}_tokens"] > 0
    assert figures["self_consistency_tokens"] > figures["router_tokens"], "samples cost tokens"
    assert "slm_adds" not in figures
    assert "| verifier_model" in capfd.readouterr().err


def table(scores, slm, llm=1.0):
    return pd.DataFrame({"score": scores, "slm": np.array(slm, float), "llm": llm})


def test_the_surest_half_goes_to_the_slm_and_the_rest_to_the_llm():
    test = table([0.9, 0.1, 0.8, 0.2], [1, 0, 0, 0])
    half = _surest(test, 2)
    assert half.dropna().tolist() == [1, 0]
    assert _together(test, half).tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize(("alpha", "served"), [(0.0, 2), (0.34, 3), (0.5, 4)])
def test_the_threshold_serves_as_many_as_alpha_allows(alpha, served):
    learned = table([0.9, 0.8, 0.7, 0.6], [1, 1, 0, 0])
    assert (learned["score"] >= _threshold(learned, alpha)).sum() == served


def test_where_the_surest_answer_is_wrong_nothing_is_served():
    learned = table([0.9], [0])
    assert not (learned["score"] >= _threshold(learned, 0.2)).any()
