"""What is trained on: answers are whole or not there, and what was shortened or left out is counted."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.prompting import token_ids
from slm_pipeline.s5_finetune.dataset import build_dataset
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import make_tiny_base

LIMITS = Settings(max_prompt_tokens=60, max_answer_tokens=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


def rows(questions: list[str], answers: list[str], split: str = "train") -> pd.DataFrame:
    asked = [json.dumps([{"role": "system", "content": ""}, {"role": "user", "content": question}]) for question in questions]
    made = {"messages": asked, "full_messages": asked, "answer": answers}
    return pd.DataFrame(made).assign(split=split, task="task", form="text", failed=False)


@given(st.lists(st.text("ab", min_size=1, max_size=12), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
def test_an_answer_is_whole_or_left_out_and_counted(folder, answers):
    built = build_dataset(rows(["?"] * len(answers), answers), folder, LIMITS)
    whole = [token_ids(f"{answer}<|im_end|>", folder) for answer in answers]
    assert [example.answer for example in built.training] == [tokens for tokens in whole if len(tokens) <= 8]
    assert built.left_out == len(answers) - len(built.training)


def test_validation_answers_that_are_left_out_are_counted_too(folder):
    table = pd.concat([rows(["?"], ["short"]), rows(["?"], ["long" * 9], "validation"), rows(["?"], ["long" * 9], "test")])
    assert build_dataset(table, folder, LIMITS).left_out == 1


def test_shortened_prompts_keep_their_end_and_are_counted(folder):
    built = build_dataset(rows(["a" * 99 + "end", "end"], ["yes", "yes"]), folder, LIMITS)
    assert built.shortened == 1
    ends = token_ids("end<|im_end|>\n<|im_start|>assistant\n", folder)
    for example in built.training:
        assert len(example.prompt) <= 60
        assert example.prompt[-len(ends) :] == ends


def test_failures_become_pairs_of_the_answer_to_learn_and_the_one_that_was_rejected(folder):
    table = rows(["?"] * 4, ["right"] * 4).assign(failed=True, rejected_answer=["wrong", "right", None, "wrong" * 9])
    held_out = rows(["?"], ["right"], "validation").assign(failed=True, rejected_answer="wrong")
    built = build_dataset(pd.concat([table, held_out]), folder, LIMITS)
    (pair,) = built.preferences
    assert pair.preferred is built.training[0]
    assert pair.rejected.prompt == pair.preferred.prompt
    assert pair.rejected.answer == token_ids("wrong<|im_end|>", folder)
    assert built.digest != build_dataset(table.assign(rejected_answer="other"), folder, LIMITS).digest
