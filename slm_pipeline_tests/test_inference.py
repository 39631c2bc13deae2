"""The untuned base is asked once: what it is shown stays when examples are added, and what it said is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from slm_pipeline.inference import ask_base, base_prompts
from slm_pipeline.s4_select.base_models import base_files
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base

SCHEMAS = {"t": None, "u": None}


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    make_tiny_base(home)
    return Settings(home=home, max_answer_tokens=6, base_prompt_tokens=512)


def rows(numbers, split="train", failed=False, prefix="c") -> pd.DataFrame:
    def messages(i: int) -> str:
        return json.dumps([{"role": "system", "content": "Task: add"}, {"role": "user", "content": f"{i} + {i}"}])

    made = [
        {"id": f"{prefix}{i}", "task": "tu"[i % 2], "split": split, "messages": messages(i), "full_messages": messages(i)}
        | {"answer": str(2 * i), "failed": failed}
        for i in numbers
    ]
    return pd.DataFrame(made)


def test_failures_of_calls_that_are_known_change_no_prompt(settings):
    base, test, training = base_files(NAME, settings), rows(range(90, 94), "test"), rows(range(20))
    prompts = base_prompts(test, training, base, "factored", settings)
    # replayed calls come back under another id, marked, and in the place of the old ones
    again = pd.concat([training[5:], rows(range(5), failed=True, prefix="replay-")])
    assert base_prompts(test, again, base, "factored", settings) == prompts
    assert all(prompt.count("<|im_start|>user") == settings.few_shot + 1 for prompt in prompts)
    assert all(f"{i} + {i}" in prompt for i, prompt in zip(range(90, 94), prompts, strict=True))


def test_examples_come_from_the_same_task(settings):
    base = base_files(NAME, settings)
    for prompt in base_prompts(rows([90], "test"), rows(range(20)), base, "full", settings):
        shown = [int(line.split(" + ")[0]) for line in prompt.splitlines() if " + " in line and not line.startswith("90")]
        assert len(shown) == settings.few_shot
        assert all(number % 2 == 0 for number in shown)


def test_what_the_base_said_is_not_asked_again(settings):
    base, test, training = base_files(NAME, settings), rows(range(90, 93), "test"), rows(range(20))
    known, done = {}, []
    said = ask_base(test, training, SCHEMAS, base, "factored", settings, lambda: done.append(1), known)
    assert len(said) == len(known) == len(done) == 3
    gone = replace(base, gguf=Path("nowhere.gguf"))  # asking anything now would fail
    assert ask_base(test, training, SCHEMAS, gone, "factored", settings, lambda: done.append(1), known) == said
    assert len(done) == 6
    more = ask_base(rows(range(90, 94), "test"), training, SCHEMAS, base, "factored", settings, known=known)
    assert more[:3] == said
    assert len(known) == 4
