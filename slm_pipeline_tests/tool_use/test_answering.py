"""A model that has learned to call the calculator gets the calculator's results, whatever it would have written itself."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from slm_pipeline.inference import Adapter, ask_adapter
from slm_pipeline.prompting import render_prompt, token_ids
from slm_pipeline.s4_select.base_models import base_files
from slm_pipeline.s5_finetune.configuration import default_configuration
from slm_pipeline.s5_finetune.dataset import Dataset, Encoded
from slm_pipeline.s5_finetune.fit import fit
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base

MESSAGES = [{"role": "system", "content": "Task: add"}, {"role": "user", "content": "12 7"}]
LEARNED = "<<12 + 7>> = 11"  # wrong, so that what the calculator writes can be told from it


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A tiny base that knows one wrong answer by heart, where it lies, and the settings it is asked with."""
    home = tmp_path_factory.mktemp("home")
    make_tiny_base(home)
    settings = Settings(home=home, max_answer_tokens=40, base_models=(NAME,))
    base = base_files(NAME, settings)
    by_heart = Encoded(
        token_ids(render_prompt(MESSAGES, base.folder), base.folder), token_ids(f"{LEARNED}<|im_end|>", base.folder), repeats=8
    )
    configuration = replace(default_configuration(settings), method="full", upper_layers=1.0, learning_rate=3e-3, epochs=40, patience=40)
    folder = tmp_path_factory.mktemp("adapter")
    fit(base, Dataset([by_heart], [by_heart], "", 0, 0), configuration, settings, folder)
    return base, folder, settings


def say(adapter, tools) -> str:
    base, folder, settings = adapter
    asked = pd.DataFrame([{"task": "add", "messages": json.dumps(MESSAGES)}])
    (said,) = ask_adapter(asked, {}, base, Adapter(folder, tools=tools), settings)
    return said.text


def test_the_calculator_writes_the_result(adapter):
    assert say(adapter, {"add": ("calculator",)}).startswith("12 + 7 = 19")


def test_a_task_without_the_grant_says_what_it_learned(adapter):
    assert say(adapter, {"other": ("calculator",)}) == LEARNED
