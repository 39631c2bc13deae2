import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.near_duplicates import BYTES_PER_CALL, SEPARATOR, asked_alike, asked_among, find, signature
from slm_pipeline_tests.s3_cluster.traffic import WORDS

SIMILARITY = 0.9
QUESTION = "please tell me whether the parcel for my mother has left the house in the north and when it will come to the river"
ANSWER = "the parcel has left the house and will come to the river in two days if the road over the hill is still open"


def represented(pairs, sessions=None):
    sessions = sessions or [f"s{i}" for i in range(len(pairs))]
    return find([signature(*pair) for pair in pairs], pairs.__getitem__, sessions, SIMILARITY).tolist()


def text(rng, n=40):
    return " ".join(rng.choice(WORDS) + rng.choice(WORDS) for _ in range(n))


def edited(words, rng):
    words = words.split()
    for place in rng.sample(range(len(words)), max(1, len(words) // 20)):
        words[place] = rng.choice(WORDS)
    return " ".join(words)


def test_five_percent_edits_of_both_parts_are_found_and_the_first_in_time_stands_for_them():
    rng = random.Random(1)
    originals = [(text(rng), text(rng, 25)) for _ in range(200)]
    copies = [(edited(asked, rng), edited(said, rng)) for asked, said in originals]
    found = represented(originals + copies)
    assert found[:200] == list(range(200))
    assert sum(one == i for i, one in enumerate(found[200:])) >= 0.94 * 200
    assert all(one in (i, 200 + i) for i, one in enumerate(found[200:]))


@pytest.mark.parametrize(
    "other",
    [
        (QUESTION, "no, the parcel lies in the cellar of the post and nobody knows who shall fetch it there before the end of the year"),
        ("what does the weather do in the hills and shall i take the long coat or the short one when i go out tonight", ANSWER),
        (QUESTION.replace("mother", "m0ther"), ANSWER),
        (QUESTION, ANSWER.replace("two", "2")),
        (QUESTION.replace("north", "SFO"), ANSWER),
        (QUESTION, '{"name": "f", "arguments": {}}'),
        (QUESTION + SEPARATOR + "yes", ANSWER),
    ],
)
def test_what_differs_in_one_part_or_in_a_number_or_name_is_no_near_duplicate(other):
    assert represented([(QUESTION, ANSWER), other]) == [0, 1]


@pytest.mark.parametrize(
    ("some", "other"),
    [
        ("2 8 8 14", "2 8 8 13"),
        ("turn on the light", "turn off the light"),
        (" ".join(map(str, range(40))), " ".join(map(str, [*range(39), 41]))),
        ("2 + 8 = 10 and so on until all of the numbers are used", "2 - 8 = 10 and so on until all of the numbers are used"),
        (
            "ship T-1001 with everything that is still in the shed behind the house",
            "ship T-1002 with everything that is still in the shed behind the house",
        ),
    ],
)
def test_short_texts_and_numbers_must_be_equal(some, other):
    assert represented([(some, ANSWER), (other, ANSWER)]) == [0, 1]
    assert represented([(QUESTION, some), (QUESTION, other)]) == [0, 1]


def test_each_message_of_a_conversation_is_judged_by_itself():
    before = SEPARATOR.join([QUESTION * 5, ANSWER * 5])
    yes, no = f"{before}{SEPARATOR}yes", f"{before}{SEPARATOR}no"
    assert represented([(yes, ANSWER), (no, ANSWER), (yes, ANSWER)]) == [0, 1, 0]


def test_arguments_of_calls_are_judged_one_by_one():
    def said(place, note):
        return json.dumps({"name": "go", "arguments": {"note": note, "place": place}})

    changed = ANSWER.replace("hill", "pass")
    pairs = [(QUESTION, said("Rome", ANSWER)), (QUESTION, said("Bonn", ANSWER)), (QUESTION, said("Rome", changed))]
    assert represented(pairs) == [0, 1, 0]


def test_within_a_session_only_equal_calls_are_one():
    near = (QUESTION.replace("mother", "father"), ANSWER)
    pairs = [(QUESTION, ANSWER), near, (QUESTION, ANSWER), near]
    assert represented(pairs, ["a", "a", "a", "b"]) == [0, 1, 0, 1]
    assert represented(pairs, ["a", "b", "b", "b"]) == [0, 0, 0, 0]


def test_a_step_is_not_lost_because_its_twin_elsewhere_is_like_another_step_of_its_session():
    near = (QUESTION.replace("mother", "father"), ANSWER)
    assert represented([(QUESTION, ANSWER), near, near], ["a", "b", "a"]) == [0, 0, 2]


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), max_size=6))
def test_any_text_can_be_judged_and_repeats_have_one_representative(pairs):
    found = represented(pairs + pairs)
    assert all(found[j] == j for j in found)
    assert found[len(pairs) :] == found[: len(pairs)]
    assert all(len(signature(*pair)) == BYTES_PER_CALL for pair in pairs)


def test_a_signature_is_the_same_in_every_process():
    code = f"from slm_pipeline.s3_cluster.near_duplicates import signature; print(signature({QUESTION!r}, {ANSWER!r}).hex())"
    made = [
        subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True)
        for seed in "12"
    ]
    assert {run.stdout.strip() for run in made} == {signature(QUESTION, ANSWER).hex()}


def among(training, test):
    texts = training + test
    found = asked_among([signature(*pair) for pair in training], [signature(*pair) for pair in test], texts.__getitem__, SIMILARITY)
    return found.tolist()


def test_a_test_question_is_known_whatever_the_answer():
    rng = random.Random(2)
    asked = [text(rng) for _ in range(50)]
    training = [(asked[0], "a"), (edited(asked[1], rng), "b"), (text(rng), "c"), ("2 8 8 13", "d"), ("2 8 8 14", "e")]
    assert among(training, [(one, "z") for one in [*asked, "2 8 8 14"]]) == [True, True, False, False, True]


def test_a_name_that_the_answer_repeats_makes_another_question_of_it():
    other, tool = QUESTION.replace("mother", "father"), '{"name": "find", "arguments": {"whose": "%s"}}'
    assert among([(QUESTION, tool % "mother")], [(other, tool % "father")]) == [False]
    assert among([(QUESTION, tool % "mine")], [(other, tool % "mine")]) == [True]
    assert among([(QUESTION, ANSWER + " to your mother")], [(other, ANSWER + " to your father")]) == [True]


def test_questions_are_alike_both_ways_but_not_if_the_tool_is_named_by_the_word_that_differs():
    asked = [QUESTION, "hi", QUESTION.replace("mother", "father"), QUESTION, QUESTION.replace("mother", "order")]
    said = ["find_parcel", "", "find_parcel", "find_parcel", "order_parcel"]
    pairs = [(one, json.dumps({"name": name})) for one, name in zip(asked, said, strict=True)]
    questions, alike = asked_alike([signature(*pair) for pair in pairs], pairs.__getitem__, SIMILARITY)
    assert questions == [0, 1, 2, 0, 4]
    assert alike == {0: [0, 2], 1: [1], 2: [2, 0], 4: [4]}
