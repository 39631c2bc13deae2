import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.answers import answer_form, answer_schema, json_form, parse_answer, render_answer
from slm_pipeline.records import Answer, ToolCall

PARAMETERS = {
    "type": "object",
    "properties": {
        "zone": {"type": "string", "format": "made-up", "enum": ["b", "a"]},
        "where": {"anyOf": [{"$ref": "#/$defs/place"}, {"type": "null"}], "default": None},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/place"}},
        "amount": {"type": ["integer", "null"], "minimum": 0},
        "free": {"type": "any"},
    },
    "required": ["zone"],
    "$defs": {
        "place": {"type": "object", "properties": {"y": {"type": "number"}, "x": {"type": "number"}, "inside": {"$ref": "#/$defs/place"}}}
    },
}
TOOLS = [{"type": "function", "function": {"name": "move", "parameters": PARAMETERS}}, {"type": "function", "function": {"name": "stop"}}]

words = st.text('ab 1:,{}[]"\\\n\u00fc\u4e2d\U0001f600')
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
calls = st.builds(
    ToolCall, st.sampled_from(["move", "stop", "unknown"]), st.dictionaries(st.sampled_from(["zone", "where", "tags", "other", ""]), values)
)


@given(st.lists(calls, min_size=1, max_size=3), st.sampled_from([TOOLS, [], None]))
def test_tool_calls_survive_rendering(some, tools):
    answer = Answer(tool_calls=tuple(some))
    assert parse_answer(render_answer(answer, tools)) == answer


@given(words.filter(bool) | values.map(json.dumps).filter(lambda text: '"arguments"' not in text))
def test_text_survives_rendering(text):
    assert parse_answer(render_answer(Answer(text=text), TOOLS)) == Answer(text=text)


@given(st.permutations(["zone", "where", "tags", "unknown", "also_unknown"]))
def test_arguments_follow_the_schema_whatever_their_order(names):
    point = {"x": 1, "inside": {"x": 2, "y": 2.0}, "y": 1}
    arguments = {"zone": "a", "where": point, "tags": [point], "unknown": 1, "also_unknown": 2}
    call = ToolCall("move", {name: arguments[name] for name in names})
    place = '{"y": 1, "x": 1, "inside": {"y": 2.0, "x": 2}}'
    expected = f'{{"name": "move", "arguments": {{"zone": "a", "where": {place}, "tags": [{place}], "also_unknown": 2, "unknown": 1}}}}'
    assert render_answer(Answer(tool_calls=(call,)), TOOLS) == expected


def test_umlauts_stay_readable():
    assert render_answer(Answer(tool_calls=(ToolCall("stop", {"why": "müde"}),)), TOOLS) == '{"name": "stop", "arguments": {"why": "müde"}}'


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "f"}',
        '{"name": "f", "arguments": []}',
        '{"name": 1, "arguments": {}}',
        "[]",
        '{"name": "f", "arguments": {"a": NaN}}',
        '{"name": "f", "arg',
        " ",
    ],
)
def test_what_is_no_call_is_text(text):
    assert parse_answer(text) == Answer(text=text)


def test_schema_takes_good_calls_and_refuses_bad_ones():
    schema = answer_schema(TOOLS, {"tool_call"})
    for good in [
        {"name": "stop", "arguments": {}},
        {"name": "move", "arguments": {"zone": "a", "where": {"y": 1, "x": 2}, "amount": None, "free": [1]}},
    ]:
        assert jsonschema_rs.is_valid(schema, good)
    for bad in [
        {"name": "fly", "arguments": {}},
        {"name": "move", "arguments": {}},
        {"name": "move", "arguments": {"zone": "c"}},
        {"name": "move", "arguments": {"zone": "a", "colour": 1}},
        {"name": "move", "arguments": {"zone": "a", "where": {"z": 1}}},
        {"name": "move", "arguments": {"zone": "a", "amount": -1}},
        [{"name": "stop", "arguments": {}}, {"name": "stop", "arguments": {}}],
    ]:
        assert not jsonschema_rs.is_valid(schema, bad), bad


def test_schema_keeps_the_order_of_properties():
    move = answer_schema(TOOLS, {"tool_call"})["anyOf"][0]["properties"]["arguments"]
    assert list(move["properties"]) == list(PARAMETERS["properties"])


def test_several_calls_at_once_need_their_own_form():
    several = Answer(tool_calls=(ToolCall("stop", {}), ToolCall("stop", {})))
    rendered = json.loads(render_answer(several, TOOLS))
    assert answer_form(several) == "tool_calls"
    assert jsonschema_rs.is_valid(answer_schema(TOOLS, {"tool_call", "tool_calls"}), rendered)


@pytest.mark.parametrize(
    ("tools", "forms"), [([], {"tool_call"}), (None, {"tool_call"}), (TOOLS, {"text"}), (TOOLS, {"tool_call", "text"}), (TOOLS, set())]
)
def test_no_schema_where_text_is_allowed(tools, forms):
    assert answer_schema(tools, forms) is None


def test_llama_cpp_takes_the_schema():
    xllamacpp = pytest.importorskip("xllamacpp")
    assert xllamacpp.json_schema_to_grammar(json.dumps(answer_schema(TOOLS, {"tool_call", "tool_calls"})))


FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "order",
        "schema": {
            "type": "object",
            "properties": {"state": {"enum": ["open", "sent"]}, "days": {"type": "integer"}},
            "required": ["state"],
        },
    },
}


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"state": "open", "days": 3}', "json"),
        ('{"state":"sent"}', "json_compact"),
        ('{\n  "state": "sent"\n}', None),
        ('{"days": 3, "state": "open"}', None),  # decoding would write the state first
        ('{"state": "lost"}', None),
        ('{"state": "open", "more": 1}', None),
        ("open", None),
    ],
)
def test_json_that_the_request_asks_for_is_told_from_other_text(text, form):
    assert json_form(text, FORMAT) == form
    assert json_form(text, None) is None


def test_where_every_answer_is_the_json_that_was_asked_for_decoding_is_held_to_it():
    schema = answer_schema(None, {"json"}, FORMAT)
    assert jsonschema_rs.is_valid(schema, {"state": "open"})
    assert not jsonschema_rs.is_valid(schema, {"state": "lost"})
    assert answer_schema(None, {"json", "text"}, FORMAT) is None
    assert answer_schema(None, {"json"}, {"type": "json_object"})["type"] == "object"
