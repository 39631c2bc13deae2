"""What is trained on: answers are whole or not there, and what was shortened or left out is counted."""

import json

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.checkers import Checker
from slm_pipeline.prompting import token_ids, tokenizer
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


def learned(built, folder) -> list[str]:
    return [tokenizer(folder).decode(example.answer) for example in built.training]


CHECKER = """
from slm_pipeline.checkers import Checked

def check(messages, answer):
    lines = answer.splitlines()
    good = [line for line in lines if int(line) % 2 == 0]
    return Checked(len(good) / len(lines), "\\n".join(good))
"""


def test_what_a_checker_keeps_is_learned_and_the_rest_is_counted(folder, tmp_path):
    table = rows(["?"] * 4, ["2\n4", "2\n3", "3\n5", "no"])
    checkers = {"task": Checker(tmp_path / "task.py", CHECKER)}
    built = build_dataset(table, folder, LIMITS, checkers=checkers)
    assert learned(built, folder) == ["2\n4", "2", "no"]
    assert (built.rejected, built.mended, built.unchecked) == (1, 1, 1)
    assert built.digest != build_dataset(table, folder, LIMITS).digest


@pytest.mark.parametrize(
    ("answers", "ends"), [(["2\n4", "6", "2\n3"], [True, True, False]), (["2\n4", "2\n3", "5\n6"], [True, True, True])]
)
def test_where_an_answer_ends_is_learned_from_whole_answers_if_most_are(answers, ends, folder, tmp_path):
    checkers = {"task": Checker(tmp_path / "task.py", CHECKER)}
    built = build_dataset(rows(["?"] * 3, answers), folder, LIMITS, checkers=checkers)
    (end,) = token_ids("<|im_end|>", folder)
    assert [example.answer[-1] == end for example in built.training] == ends


def test_answers_of_a_task_with_tools_carry_their_calls(folder):
    wide = LIMITS.model_copy(update={"max_answer_tokens": 40})
    table = rows(["2 8"], ["2 + 8 = 10"])
    assert learned(build_dataset(table, folder, wide, tools={"task": ("calculator",)}), folder) == ["<<2 + 8>> = 10"]
    assert learned(build_dataset(table, folder, wide, tools={"other": ("calculator",)}), folder) == ["2 + 8 = 10"]


def test_a_date_that_an_earlier_message_makes_known_is_noted_before_the_call(folder):
    wide = Settings(max_prompt_tokens=400, max_answer_tokens=120)
    turns = ["It is 2024-05-15.", "Fine.", "Book it for next friday"]
    messages = json.dumps([{"role": role, "content": turn} for role, turn in zip(("user", "assistant", "user"), turns, strict=True)])
    call = '{"name": "book", "arguments": {"day": "2024-05-17"}}'
    table = rows(["?"], [call]).assign(messages=messages, form="tool_call")
    (said,) = learned(build_dataset(table, folder, wide, tools={"task": ("dates",)}), folder)
    assert said == f"<<friday after 2024-05-15>> = 2024-05-17\n{call}"
