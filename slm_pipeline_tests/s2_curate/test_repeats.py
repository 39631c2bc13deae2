import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.records import target_of
from slm_pipeline.s2_curate.repeats import call_hash
from slm_pipeline_tests.s1_collect.calls import call

ARGUMENTS = {"place": "Zürich", "days": [1, 2], "deep": {"a": None, "b": 0.5}}


def hash_of(made, key="key"):
    return call_hash(made, target_of(made), key)


def tool(arguments, id_="call_1", **more):
    return {"id": id_, "type": "function", "function": {"name": "get", "arguments": arguments}} | more


def agent_call(content="how warm is it?", arguments=ARGUMENTS, id_="call_1", result="12 degrees", answer=ARGUMENTS, **more):
    messages = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": None, "tool_calls": [tool(json.dumps(arguments), id_)]},
        {"role": "tool", "tool_call_id": id_, "content": result},
    ]
    response = {"choices": [{"message": {"role": "assistant", "tool_calls": [tool(json.dumps(answer))]}}]}
    return call(request={"model": "m", "messages": messages} | more, response=response)


@given(st.permutations(list(ARGUMENTS)), st.sampled_from([None, 1, 4]), st.booleans())
def test_the_order_and_the_blanks_of_arguments_do_not_matter(order, indent, ascii_only):
    turned = {name: ARGUMENTS[name] for name in order}
    spelled = json.loads(agent_call(arguments=turned, answer=turned).to_json())
    for message in (spelled["request"]["messages"][1], spelled["response"]["choices"][0]["message"]):
        message["tool_calls"][0]["function"]["arguments"] = json.dumps(turned, indent=indent, ensure_ascii=ascii_only)
    assert hash_of(call(**spelled)) == hash_of(agent_call())


@pytest.mark.parametrize(
    "other",
    [
        agent_call(content=[{"type": "text", "text": "how warm is it?"}]),
        agent_call(content="how warm is it?  \n"),
        agent_call(id_="toolu_9f3"),
        agent_call(arguments=ARGUMENTS | {"place": "Zu\u0308rich"}),
        agent_call(result="12 degrees\n"),
        agent_call(tools=[]),
        agent_call(tools=None, temperature=0.3),
    ],
)
def test_other_spellings_are_the_same_call(other):
    assert hash_of(other) == hash_of(agent_call())


@pytest.mark.parametrize(
    "other",
    [
        agent_call(content="how cold is it?"),
        agent_call(content="  how warm is it?"),
        agent_call(content=[{"type": "text", "text": "how warm is it?"}, {"type": "image_url", "image_url": {"url": "data:1"}}]),
        agent_call(arguments=ARGUMENTS | {"days": [2, 1]}),
        agent_call(answer=ARGUMENTS | {"place": "Bern"}),
        agent_call(result="13 degrees"),
        agent_call(tools=[{"type": "function", "function": {"name": "get"}}]),
        agent_call(response_format={"type": "json_object"}),
    ],
)
def test_another_call_is_another_one(other):
    assert hash_of(other) != hash_of(agent_call())


def test_two_results_that_change_places_are_another_call():
    def parallel(first, second):
        messages = [
            {"role": "user", "content": "both"},
            {"role": "assistant", "tool_calls": [tool('{"n": 1}', "x"), tool('{"n": 2}', "y")]},
            {"role": "tool", "tool_call_id": first, "content": "warm"},
            {"role": "tool", "tool_call_id": second, "content": "cold"},
        ]
        return call(request={"messages": messages})

    assert hash_of(parallel("x", "y")) != hash_of(parallel("y", "x"))


def test_broken_tool_calls_have_a_hash_and_the_key_matters():
    broken = [
        call(request={"messages": [{"role": "assistant", "tool_calls": calls}]})
        for calls in ([tool('{"a": ')], ["x"], [{}], [{"function": None}], "x", [tool(None)], [tool({"a": 1})])
    ]
    assert len({hash_of(one) for one in broken}) == len(broken)
    assert hash_of(broken[0]) != hash_of(broken[0], "other key")
