"""Scores agree with what a person would call the same answer."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.records import Answer, ToolCall
from slm_pipeline.scores import grade, typed

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


@given(values)
@settings(max_examples=50)
def test_typed_values_survive_json(value):
    assert typed(value, {}) == typed(json.loads(json.dumps(value)), {})


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
