import random

import pytest

from slm_pipeline.s3_cluster.quality import action_of, low_agreement, outliers, wrong_form
from slm_pipeline_tests.s3_cluster import traffic

WORDS = traffic.WORDS[:16]


def sentences(n, seed=0):
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(8, 14))) for _ in range(n)]


@pytest.mark.parametrize(
    ("tools", "text", "action"),
    [
        (["b", "a"], "", "call a, b"),
        ([], '{"a": 1}', "json"),
        ([], "Very  Good", "label very good"),
        ([], "that depends on what you mean", "text"),
        ([], "12", "label 12"),
    ],
)
def test_an_answer_does_one_thing(tools, text, action):
    assert action_of(tools, text) == action


@pytest.mark.parametrize(
    ("actions", "wrong"),
    [
        (["json"] * 98 + ["text"] * 2, 2),
        (["json"] * 97 + ["text"] * 3, 0),
        (["json"] * 49 + ["text"], 1),
        (["json"] * 48 + ["text"], 0),
        (["text"] * 99 + ["call f"], 0),
        (["text"] * 99 + ["json"], 0),
        (["call f"] * 99 + ["text"], 0),
        (["json"] * 99 + ["call f"], 0),
        ([], 0),
    ],
)
def test_only_prose_among_json_is_in_a_wrong_form(actions, wrong):
    found = wrong_form(actions, 0.98)
    assert found.sum() == wrong
    assert not any(action != "text" for action, is_wrong in zip(actions, found, strict=True) if is_wrong)


def test_what_is_far_out_in_length_and_in_wording_is_an_outlier():
    questions, answers = sentences(200), sentences(200, seed=1)
    answers[17] = "SELECT * FROM logs WHERE error = 'Traceback: segmentation fault in kernel module'; " * 40
    assert outliers(questions, answers).nonzero()[0].tolist() == [17]


def test_length_alone_makes_no_outlier_and_small_tasks_have_none():
    questions, answers = sentences(200), sentences(200, seed=1)
    answers[17] = " ".join(sentences(40, seed=2))
    assert not outliers(questions, answers).any()
    answers[17] = "SELECT * FROM logs WHERE error = 'Traceback: segmentation fault in kernel module'; " * 40
    assert not outliers(questions[:99], answers[:99]).any()


def test_at_most_two_in_a_hundred_are_outliers():
    questions, answers = sentences(200), sentences(200, seed=1)
    for i in range(30):
        answers[i] = f"SELECT {i} FROM logs WHERE error = 'Traceback: segmentation fault in kernel module'; " * 40
    assert outliers(questions, answers).sum() == 4


@pytest.mark.parametrize(
    ("actions", "questions", "alone"),
    [
        (["call a"] * 3 + ["call b"], "xxxx", [3]),
        (["call a"] * 3 + ["call b"], "xyyx", [3]),
        (["call a"] * 3 + ["call b"], "xxxz", []),
        (["call a"] * 2 + ["call b"], "xxx", []),
        (["call a"] * 3 + ["call b", "call b"], "xxxxx", []),
        (["call a"] * 4, "xxxx", []),
        (["call a", "call c", "call a", "call b"], "xxxx", []),
        (["text"] * 99 + ["call a"], [*range(100)], []),
    ],
)
def test_an_answer_that_all_near_neighbours_contradict_is_alone(actions, questions, alone):
    alike = {
        question: [other for other in set(questions) if other == question or {other, question} == {"x", "y"}] for question in questions
    }
    assert low_agreement(actions, questions, alike).nonzero()[0].tolist() == alone
