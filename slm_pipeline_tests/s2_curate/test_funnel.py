import pytest

from slm_pipeline.records import Answer, ToolCall, response_of, target_of
from slm_pipeline.s2_curate.funnel import drop_reason
from slm_pipeline_tests.s1_collect.calls import call

TOOLS = [
    {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
]
ASKED = {"messages": [{"role": "user", "content": "add 1"}], "tools": TOOLS}
AS_JSON = {"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}
SCHEMA = {"type": "json_schema", "json_schema": {"schema": {"type": "object", "required": ["a"]}}}


def says(content="fine", finish="stop", **message):
    return {"choices": [{"finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}]}


def calls(name, **arguments):
    return response_of(Answer(tool_calls=(ToolCall(name, arguments),)), "m")


BROKEN_CALL = says(None, tool_calls=[{"function": {"name": "add", "arguments": '{"n": '}}])
SLM = {"served_by": "slm", "attempts": []}

CASES = [
    (None, {}),
    (None, {"outcome": {"success": True, "reward": 1.0}}),
    ("failed_outcome", {"outcome": {"success": False}}),
    ("failed_outcome", {"outcome": {"reward": 0}}),
    ("failed_outcome", {"outcome": {"score": 0.0}}),
    (None, {"outcome": {"success": False, "correction": {"role": "assistant", "content": "better"}}}),
    ("malformed", {"request": {"messages": []}}),
    ("malformed", {"request": {"messages": "hi"}}),
    ("malformed", {"response": {"choices": []}}),
    ("failed_call", {"response": {"error": "overloaded"}}),
    ("embedding", {"api": "embeddings", "request": {"input": "x"}, "response": {"data": 1}}),
    ("truncated", {"response": says("half an", finish="length")}),
    ("empty_answer", {"response": says("  ")}),
    ("empty_answer", {"response": says(None)}),
    ("refusal", {"response": says("I'm sorry, but I can't assist with that request.")}),
    ("refusal", {"response": says("No.", refusal="I will not")}),
    ("refusal", {"response": says("", finish="content_filter")}),
    (None, {"response": says("I'm sorry, but I can't change a basic economy flight. I can cancel it within 24 hours.")}),
    (None, {"request": ASKED, "response": calls("add", n=1)}),
    ("invalid_tool_call", {"request": ASKED, "response": calls("add", n="one")}),
    ("invalid_tool_call", {"request": ASKED, "response": calls("add")}),
    ("invalid_tool_call", {"request": ASKED, "response": calls("subtract", n=1)}),
    ("invalid_tool_call", {"response": calls("add", n=1)}),
    ("invalid_tool_call", {"request": ASKED, "response": BROKEN_CALL}),
    (None, {"request": AS_JSON, "response": says('{"a": 1}')}),
    ("invalid_json", {"request": AS_JSON, "response": says("a: 1")}),
    ("invalid_json", {"request": AS_JSON | {"response_format": SCHEMA}, "response": says('{"b": 1}')}),
    ("slm_served", {"route": SLM}),
]


@pytest.mark.parametrize(("reason", "fields"), CASES)
def test_training_calls_are_dropped_for_a_reason(reason, fields):
    made = call(**fields)
    assert drop_reason(made, target_of(made), "train") == reason


@pytest.mark.parametrize("split", ["validation", "calibration", "test"])
@pytest.mark.parametrize(("reason", "fields"), CASES)
def test_the_other_splits_keep_every_well_formed_call_that_has_an_answer(reason, fields, split):
    made = call(**fields)
    target = target_of(made)
    kept = reason if reason in ("malformed", "failed_call", "embedding", "slm_served") else None if target else "no_target"
    assert drop_reason(made, target, split) == kept


def test_a_schema_that_refers_to_the_network_is_never_fetched():
    tools = [{"function": {"name": "add", "parameters": {"$ref": "http://localhost:1/schema.json"}}}]
    made = call(request=ASKED | {"tools": tools}, response=calls("add", n=1))
    assert drop_reason(made, target_of(made), "train") is None
