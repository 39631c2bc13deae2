"""Anthropic's Messages API in OpenAI's form: what the gateway and the importers translate."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s1_collect.importers import anthropic, read_calls
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.test_importers import objects, values


def request(*messages, **more):
    return anthropic.chat_request({"messages": list(messages)} | more)


def turns(*blocks, role="user"):
    return request({"role": role, "content": list(blocks)})["messages"]


def test_the_system_prompt_becomes_the_first_message():
    assert request(system="Be kind.")["messages"] == [{"role": "system", "content": "Be kind."}]
    two = [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    parts = [{"type": "text", "text": "Be kind."}, {"type": "text", "text": "Be brief."}]
    assert request(system=two)["messages"] == [{"role": "system", "content": parts}]
    assert "system" not in request(system=two)
    assert request(system="")["messages"] == []


def test_tool_results_stand_before_what_the_user_adds():
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "42", "is_error": True}
    tool, user = turns({"type": "text", "text": "go on"}, result)
    assert tool == {"role": "tool", "tool_call_id": "t1", "content": "42", "is_error": True}
    assert user == {"role": "user", "content": "go on"}


def test_an_image_becomes_a_url():
    inside = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}}
    linked = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
    (user,) = turns({"type": "text", "text": "Look:"}, inside, linked)
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "image_url"]
    assert user["content"][1]["image_url"]["url"] == "data:image/png;base64,QUJD"
    assert user["content"][2]["image_url"]["url"] == "https://example.com/a.png"
    document = {"type": "document", "source": {"type": "file", "file_id": "f1"}}
    assert turns(document)[0]["content"] == [document]


def test_an_answer_keeps_its_thinking_apart_from_its_text():
    thinking = {"type": "thinking", "thinking": "Let me see.", "signature": "s"}
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}}
    (turn,) = turns(thinking, {"type": "text", "text": "I look "}, {"type": "text", "text": "it up."}, use, role="assistant")
    assert turn["content"] == "I look it up."
    assert turn["thinking"] == [thinking]
    assert turn["tool_calls"] == [{"id": "t1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}]


def test_tools_and_the_choice_among_them():
    own = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, "cache_control": {"type": "ephemeral"}}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    body = request(tools=[own, search], tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True})
    function = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    assert body["tools"] == [{"type": "function", "function": function}, search]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert body["parallel_tool_calls"] is False
    for choice, expected in (("auto", "auto"), ("any", "required"), ("none", "none")):
        assert request(tool_choice={"type": choice})["tool_choice"] == expected


def test_parameters_keep_their_names_or_get_those_of_openai():
    schema = {"type": "object", "properties": {}}
    body = request(
        model="m",
        max_tokens=9,
        top_k=3,
        stop_sequences=["X"],
        stream=True,
        output_config={"format": {"type": "json_schema", "schema": schema}},
    )
    assert (body["model"], body["max_tokens"], body["top_k"], body["stop"], body["stream"]) == ("m", 9, 3, ["X"], True)
    assert "stop_sequences" not in body
    assert body["response_format"]["json_schema"]["schema"] == schema


@pytest.mark.parametrize(
    ("stop_reason", "finish_reason"),
    [
        *(("end_turn", "stop"), ("stop_sequence", "stop"), ("tool_use", "tool_calls"), ("max_tokens", "length")),
        *(("refusal", "content_filter"), ("model_context_window_exceeded", "length"), ("new_reason", "new_reason"), (None, None)),
    ],
)
def test_why_an_answer_ended(stop_reason, finish_reason):
    made = anthropic.chat_response({"content": [{"type": "text", "text": "a"}], "stop_reason": stop_reason})
    assert made["choices"] == [{"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": "a"}}]


def test_usage_counts_cached_tokens_as_prompt_tokens():
    usage = {
        "input_tokens": 10,
        "output_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "service_tier": "standard",
    }
    made = anthropic.chat_response({"id": "msg_1", "model": "m", "usage": usage})
    assert made["usage"] == {
        "prompt_tokens": 130,
        "completion_tokens": 5,
        "total_tokens": 135,
        "prompt_tokens_details": {"cached_tokens": 100},
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 20,
        "service_tier": "standard",
    }
    assert (made["id"], made["model"], made["object"]) == ("msg_1", "m", "chat.completion")


@given(objects, st.sampled_from(["system", "messages", "tools", "tool_choice", "content", "usage", "stop_reason", "output_config"]), values)
def test_no_body_is_too_odd_to_translate(body, key, value):
    for odd in (value, [value], [{"role": "assistant", "content": value}], [{"type": "tool_use", "input": value}], {"type": value}):
        assert isinstance(anthropic.chat_request(body | {key: odd})["messages"], list)
        assert anthropic.chat_response(body | {key: odd})["choices"][0]["message"]["role"] == "assistant"


def test_what_nests_too_deeply_to_be_written_is_no_error():
    deep = {}
    for _ in range(100_000):
        deep = {"a": deep}
    (turn,) = turns({"type": "tool_use", "id": "t", "name": "f", "input": deep}, role="assistant")
    assert turn["tool_calls"][0]["function"]["arguments"] == ""


def test_lines_of_claude_code_name_user_and_session_in_one_field(tmp_path):
    line = forms.anthropic(2)
    line["request"]["metadata"]["user_id"] = "user_3fa1_account__session_0b1e2d3c-aaaa-bbbb-cccc-0123456789ab"
    (tmp_path / "x").write_text(json.dumps(line))
    (call,) = read_calls(tmp_path / "x")
    assert (call.client_id, call.session_id) == ("user_3fa1_account", "0b1e2d3c-aaaa-bbbb-cccc-0123456789ab")
    assert (call.id, call.latency_ms) == ("anthropic-msg_2", 640)


def test_a_line_may_hold_the_answer_as_text_or_inside_an_envelope(tmp_path):
    body = forms.anthropic_body(2)
    lines = [
        {"request": body, "response": "Yes."},
        {"request": {"body": body, "headers": {}}, "response": {"body": forms.anthropic_message(2)}},
    ]
    (tmp_path / "x").write_text("\n".join(json.dumps(line) for line in lines))
    texts = [call.response["choices"][0]["message"]["content"] for call in read_calls(tmp_path / "x")]
    assert texts == ["Yes.", "Yes, in every size."]


def test_a_line_without_a_time_has_that_of_its_file(tmp_path):
    import os

    line = {key: value for key, value in forms.anthropic(0).items() if key != "timestamp"}
    (tmp_path / "x").write_text(json.dumps(line))
    os.utime(tmp_path / "x", (1_700_000_000, 1_700_000_000))
    (call,) = read_calls(tmp_path / "x")
    assert call.timestamp == 1_700_000_000
