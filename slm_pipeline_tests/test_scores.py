"""Scores agree with what a person would call the same answer."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.records import Answer, ToolCall
from slm_pipeline.scores import fidelity, grade, wrong_arguments

TOOL = {
    "type": "function",
    "function": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "nights": {"type": "integer"},
                "price": {"anyOf": [{"type": "number"}, {"type": "null"}]},
                "smoking": {"type": "boolean", "default": False},
                "guests": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
                },
            },
            "required": ["city"],
        },
    },
}
OTHER = {"type": "function", "function": {"name": "cancel", "parameters": {"type": "object", "properties": {}}}}
TOOLS = [TOOL, OTHER]

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
calls = st.builds(
    lambda arguments: Answer(tool_calls=(ToolCall("book", arguments),)),
    st.dictionaries(st.sampled_from("abc") | st.text(max_size=4), values, max_size=3),
)
answers = calls | st.text(min_size=1, max_size=20).map(lambda text: Answer(text=text))


def book(**arguments) -> Answer:
    return Answer(tool_calls=(ToolCall("book", arguments),))


@given(answers)
def test_an_answer_agrees_with_itself(answer):
    score = grade(answer, answer, TOOLS)
    assert (score.exact, score.call, score.similarity) == (True, True, 1.0)
    assert score.tool is (True if answer.tool_calls else None)


@given(answers, answers)
def test_agreement_and_similarity_are_symmetric(one, other):
    there, back = grade(one, other, TOOLS), grade(other, one, TOOLS)
    assert (there.exact, there.call, there.similarity) == (back.exact, back.call, back.similarity)
    assert 0 <= there.similarity <= 1


@given(answers, answers)
def test_fidelity_is_one_for_the_teachers_own_words_and_less_for_others(teacher, other):
    assert fidelity(teacher, teacher, TOOLS) == 1
    found = fidelity(other, teacher, TOOLS)
    assert 0 <= found <= 1
    assert found == 1 if grade(teacher, other, TOOLS).exact else found < 1 or grade(teacher, other, TOOLS).call
    assert fidelity(None, teacher, TOOLS) == 0


@given(answers, answers)
def test_an_exact_answer_is_the_whole_call(one, other):
    score = grade(one, other, TOOLS)
    assert score.call or not score.exact
    assert score.tool is not False or not score.call


@given(calls, st.randoms())
def test_the_order_of_arguments_does_not_matter(answer, random):
    pairs = list(answer.tool_calls[0].arguments.items())
    random.shuffle(pairs)
    shuffled = Answer(tool_calls=(ToolCall("book", dict(pairs)),))
    score = grade(answer, shuffled, TOOLS)
    assert score.call
    assert score.exact


@given(calls, st.sampled_from(["city", "nights", "b", "new"]), values)
def test_the_share_of_arguments_never_rises_by_one_more_wrong_argument(answer, name, value):
    target = answer.tool_calls[0].arguments
    given = {**target}
    shares = [grade(answer, book(**given), TOOLS).arguments]
    for wrong in (name, *target):
        given[wrong] = {"wrong": [value]}
        shares.append(grade(answer, book(**given), TOOLS).arguments)
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == (0 if target or name else 1)


@given(calls, calls)
def test_all_arguments_right_is_the_whole_call(one, other):
    score = grade(one, other, TOOLS)
    assert score.call == (score.arguments == 1)
    assert score.call == (not wrong_arguments(one, other, TOOLS))
    assert score.arguments == grade(other, one, TOOLS).arguments


PAIRS = json.loads((Path(__file__).parent / "answer_pairs.json").read_text())


def said(answer: str | list) -> Answer:
    return Answer(text=answer) if isinstance(answer, str) else Answer(tool_calls=tuple(ToolCall(*call) for call in answer))


@pytest.mark.parametrize("pair", PAIRS["pairs"], ids=lambda pair: pair["about"])
def test_what_a_person_says_of_pairs_of_answers(pair):
    """`answer_pairs.json`: verdicts written by hand, before the scores were looked at."""
    score = grade(said(pair["target"]), said(pair["given"]), PAIRS["tools"])
    assert {"agree": score.call, "valid": score.valid, "tool": score.tool} == {key: pair[key] for key in ("agree", "valid", "tool")}
    assert score.arguments == (None if pair["arguments"] is None else pytest.approx(pair["arguments"]))
    back = grade(said(pair["given"]), said(pair["target"]), PAIRS["tools"])
    assert back.call == score.call


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"nights": 1}, {"nights": 1.0}),
        ({"nights": "3"}, {"nights": 3}),
        ({"nights": "3.0"}, {"nights": " 3 "}),
        ({"price": "12.50"}, {"price": 12.5}),
        ({"city": "São  Paulo "}, {"city": "sa\u0303o paulo"}),
        ({"city": "Rome"}, {"city": "Rome", "smoking": False}),
        ({"guests": [{"name": "Ann", "age": 4}]}, {"guests": [{"age": "4", "name": "ann"}]}),
    ],
)
def test_same_meaning_is_the_same_call(one, other):
    assert grade(book(**one), book(**other), TOOLS).call


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"city": "1"}, {"city": 1}),
        ({"smoking": True}, {"smoking": 1}),
        ({"smoking": True}, {}),
        ({"price": None}, {}),
        ({"price": None}, {"price": 0}),
        ({"guests": [1, 2]}, {"guests": [2, 1]}),
        ({"nights": "three"}, {"nights": 3}),
        ({"nights": 3, "city": "Rome"}, {"nights": 3}),
    ],
)
def test_other_meaning_is_another_call(one, other):
    score = grade(book(**one), book(**other), TOOLS)
    assert not score.call
    assert score.tool


def test_several_calls_must_all_agree_in_order():
    two = Answer(tool_calls=(ToolCall("book", {"city": "Rome"}), ToolCall("cancel", {})))
    turned = Answer(tool_calls=two.tool_calls[::-1])
    assert grade(two, two, TOOLS).call
    assert not grade(two, turned, TOOLS).call
    assert not grade(two, book(city="Rome"), TOOLS).tool


def test_valid_is_what_the_schema_takes():
    target = book(city="Rome")
    assert grade(target, book(city="Oslo"), TOOLS).valid
    assert not grade(target, book(nights=2), TOOLS).valid
    assert not grade(target, book(city="Rome", nights="two"), TOOLS).valid
    assert not grade(target, Answer(tool_calls=(ToolCall("unknown", {}),)), TOOLS).valid
    assert not grade(target, Answer(text="I would book Rome"), TOOLS).valid
    assert grade(Answer(text="yes"), Answer(text="no"), []).valid
    assert not grade(Answer(text="yes"), Answer(text=" "), []).valid


@pytest.mark.parametrize(
    ("text", "fits"), [('{"sum": 3}', True), ('{"sum": "three"}', False), ("[3]", False), ("3", False), ("three", False), ("", False)]
)
def test_text_is_valid_in_the_format_that_was_asked_for(text, fits):
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}, "required": ["sum"]}
    asked = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
    assert grade(Answer(text='{"sum": 1}'), Answer(text=text), [], response_format=asked).valid is fits
    if fits:
        assert grade(Answer(text="{}"), Answer(text=text), [], response_format={"type": "json_object"}).valid


def test_text_agrees_but_for_white_space():
    score = grade(Answer(text="two\nlines"), Answer(text="two  lines "), [])
    assert (score.call, score.exact, score.tool) == (True, False, None)
    assert not grade(Answer(text="two"), Answer(text="Two"), []).call


def test_no_answer_scores_nothing():
    score = grade(book(city="Rome"), None, TOOLS, {"gold": {"content": "x"}})
    assert (score.exact, score.tool, score.call, score.valid, score.similarity, score.correct) == (False, False, False, False, 0.0, False)


def gold(**arguments):
    return {"tool_calls": [{"function": {"name": "book", "arguments": json.dumps(arguments)}}]}


def test_correctness_is_not_fidelity():
    teacher, right = book(city="Rome"), book(city="Oslo")
    score = grade(teacher, right, TOOLS, {"gold": gold(city="Oslo")})
    assert (score.call, score.correct) == (False, True)
    assert grade(teacher, teacher, TOOLS, {"gold": gold(city="Oslo")}).correct is False
    assert grade(teacher, teacher, TOOLS).correct is None
    assert grade(teacher, right, TOOLS, {"correction": gold(city="Oslo")}).correct is None, "corrections are only of bad answers"


@pytest.mark.parametrize(
    ("arguments", "correct"),
    [
        ({"city": "NYC", "nights": 2}, True),
        ({"city": "new york", "nights": "2"}, True),
        ({"city": "New York", "nights": 2, "price": 10}, True),
        ({"city": "New York", "nights": 2, "smoking": False}, True),
        ({"city": "New York", "nights": 3}, False),
        ({"city": "New York"}, False),
        ({"city": "New York", "nights": 2, "price": 11}, False),
        ({"city": "New York", "nights": 2, "extra": 1}, False),
    ],
)
def test_gold_accepts_any_listed_value_and_optional_arguments(arguments, correct):
    outcome = {
        "gold": gold(city="New York", nights=2),
        "accepted_values": {"city": ["New York", "NYC"], "nights": [2], "price": [10], "smoking": [False]},
        "optional_arguments": ["price", "smoking"],
    }
    assert grade(book(city="x"), book(**arguments), TOOLS, outcome).correct is correct


def test_a_malformed_schema_refuses_no_arguments():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "dict", "properties": {}}}}]
    answer = Answer(tool_calls=(ToolCall("f", {"a": 1}),))
    assert grade(answer, answer, tools).valid
