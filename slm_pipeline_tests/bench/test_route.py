"""Measures of routing on cases whose answers are known, and all figures of a small file."""

import json

import numpy as np
import pytest

from slm_pipeline.bench import route
from slm_pipeline.settings import get_settings

SMALL, LARGE = np.array([1, 1, 0, 0] * 50, float), np.ones(200)


def test_a_perfect_router_gains_most_from_the_calls_it_sends_first():
    apgr, cpt = route.trade_off(SMALL, SMALL, LARGE)
    assert apgr == pytest.approx(0.75, abs=0.01)
    assert cpt == pytest.approx(0.25)


def test_a_router_that_knows_nothing_is_on_the_diagonal_and_a_wrong_one_below():
    draws = np.random.default_rng(0)
    assert np.mean([route.trade_off(draws.random(200), SMALL, LARGE)[0] for _ in range(50)]) == pytest.approx(0.5, abs=0.02)
    assert route.trade_off(-SMALL, SMALL, LARGE)[0] == pytest.approx(0.25, abs=0.01)


def test_calibration_error_is_the_distance_of_what_is_said_to_what_comes():
    assert route.calibration_error(np.full(100, 0.75), np.arange(100) < 75) == pytest.approx(0)
    assert route.calibration_error(np.full(100, 0.95), np.arange(100) < 75) == pytest.approx(0.2)
    assert route.calibration_error(np.ones(4), np.array([1, 1, 1, 0])) == pytest.approx(0.25)


def test_a_verifier_that_sees_wrong_sums_beats_the_prompt(tmp_path, home, capsys):
    rows = [
        {"id": f"q{i}", "group": "sums", "prompt": f"{i} + {i}?", "slm_ok": i % 3 > 0, "llm_ok": True}
        | {"slm_answer": f"{i} + {i} = {2 * i + (i % 3 == 0)}"}
        for i in range(150)
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    figures = route.measure(get_settings(), file)
    assert figures["n"] == 150
    assert figures["auroc"] > 0.95 > 0.7 > figures["auroc_prompt_only"]
    assert figures["auroc_gain_low"] > 0
    assert figures["p50_ms"] > 0
    assert "fold 5 of 5" in capsys.readouterr().err


def test_a_file_is_asked_for(home):
    with pytest.raises(ValueError, match="needs --data"):
        route.measure(get_settings(), None)
