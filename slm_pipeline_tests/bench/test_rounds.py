"""A round of learning: the first calls are trained on, every later one is answered, and what SLMs get wrong is learned from."""

import itertools

from slm_pipeline.bench import rounds
from slm_pipeline.s6_refine import gate
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.bench.test_folds import step_calls
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base

PUZZLES = list(itertools.combinations(range(2, 11), 3))


def test_a_random_model_is_asked_learned_from_and_serves_nothing(home, monkeypatch, tmp_path, capfd):
    for name, value in (SETTINGS | {"SLM_MAX_ANSWER_TOKENS": "150"}).items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    monkeypatch.setattr(gate, "_refusal", lambda *report: "")
    traffic = tmp_path / "calls.jsonl"
    traffic.write_text("\n".join(step_calls(PUZZLES)))
    figures = rounds.measure(get_settings(), traffic)
    later = len(PUZZLES) - round(0.4 * len(PUZZLES))
    assert figures["n"] == len(PUZZLES)
    assert figures["n_before"] + figures["n_after"] == later
    for part in ("before", "after", "without_checker"):
        assert sum(figures[f"reasons_{part}"].values()) == figures[f"n_{part}"]
        assert figures[f"slm_share_{part}"] == 0, "a random model passed the checker"
    assert "what the checker passes is right" in figures["release_after"][0]
    assert "cannot certify" in figures["release_without_checker"][0]
    assert figures["settings"]["epochs"] == 1
    assert len(figures["failed_groups"]) == 1
    assert f"retrained: {figures['failed_groups'][0]}" in capfd.readouterr().err
