"""Every call is answered by an SLM that did not see its session, and lines are counted rightly."""

import itertools
import json

import pytest

from slm_pipeline.bench import folds
from slm_pipeline.bench._step_checker import check
from slm_pipeline.bench._step_lines import legal_moves, valid_lines
from slm_pipeline.resources.engine import Completion
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.test_whole_loop import SETTINGS
from slm_pipeline_tests.tiny import make_tiny_base

ANSWER = "2 + 8 = 10 (left: 8 10 14)\n8 + 2 = 10 (left: 8 10 14)\n8 / 2 = 5 (left: 4 8 14)\n14 - 2 = 12 (left: 8 8 12)\nno idea"
EXAMPLE = "Input: 2 8 8 14\nPossible next steps:\n2 + 8 = 10 (left: 8 10 14)\n"
PUZZLES = list(itertools.combinations(range(2, 12), 3))[::4]


def step_calls(puzzles):
    """One call a puzzle: three numbers, all sums of two of them, of which the last is wrong."""
    for i, numbers in enumerate(puzzles):
        lines = []
        for a, b in itertools.combinations(numbers, 2):
            rest = " ".join(map(str, sorted([*(n for n in numbers if n not in (a, b)), a + b])))
            lines.append(f"{a} + {b} = {a + b} (left: {rest})")
        answer = "\n".join([*lines[:-1], lines[-1].replace("=", "= 99")])
        asked = f"{EXAMPLE}Input: {' '.join(map(str, numbers))}\nPossible next steps:\n"
        yield json.dumps(
            {
                "id": f"c{i}",
                "timestamp": 1_791_000_000 + i,
                "agent": "solver",
                "session_id": f"s{i}",
                "client_id": "c",
                "request": {"model": "gold", "messages": [{"role": "user", "content": asked}]},
                "response": {
                    "model": "m",
                    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": answer}}],
                },
            }
        )


def test_lines_and_moves():
    assert valid_lines("2 8 8 14", ANSWER) == (3, 5)
    assert legal_moves("2 8 8 14", ANSWER) == {(2, 8, "+"), (14, 2, "-")}


def test_the_checker_keeps_the_legal_lines():
    asked = [{"role": "user", "content": "Input: 1 2\nPossible next steps:\n1 + 2 = 3 (left: 3)\nInput: 2 8 8 14\nPossible next steps:\n"}]
    verdict = check(asked, ANSWER)
    assert verdict.score == pytest.approx(3 / 5)
    assert verdict.kept.splitlines() == [ANSWER.splitlines()[i] for i in (0, 1, 3)]


def test_five_folds_with_a_tiny_model(home, monkeypatch, tmp_path, capsys):
    for name, value in (SETTINGS | {"SLM_MAX_ANSWER_TOKENS": "150"}).items():
        monkeypatch.setenv(name, value)
    make_tiny_base(home)
    traffic = tmp_path / "calls.jsonl"
    traffic.write_text("\n".join(step_calls(PUZZLES)))
    trained = []
    monkeypatch.setattr("slm_pipeline.s5_finetune.fit.fit", recording(trained))
    monkeypatch.setattr("slm_pipeline.inference.ask_adapter", first_lines)
    figures = folds.measure(get_settings(), traffic)
    assert figures["n"] == len(PUZZLES)
    assert figures["lines_valid_teacher"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["moves_teacher"] == 2
    assert figures["lines_valid_plain"] == 1
    assert figures["moves_plain_of_teacher"] == 0.5
    assert figures["lines_valid_plain_minus_teacher_low"] > 0
    assert len(trained) == 15
    with_tools = ["<<" in text for text in trained]
    assert with_tools == [False] * 5 + [True] * 10
    assert ["= 99" in text for text in trained] == [True] * 10 + [False] * 5
    assert folds.measure(get_settings(), traffic) == figures
    assert len(trained) == 15


def first_lines(examples, *rest, **more):
    """An SLM that says the teacher's first line."""
    return [Completion(answer.splitlines()[0], 1, 1, 1.0) for answer in examples["answer"]]


def recording(trained):
    from slm_pipeline.prompting import tokenizer
    from slm_pipeline.s5_finetune.fit import fit

    def record(base, dataset, *rest, **more):
        trained.append("\n".join(tokenizer(base.folder).decode(e.answer) for e in dataset.training))
        return fit(base, dataset, *rest, **more)

    return record
