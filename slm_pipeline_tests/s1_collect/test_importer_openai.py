"""OpenAI's Responses API in the form of chat completions, stored completions, and batch files."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s1_collect.importers import openai_responses, read_calls
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.test_importer_forms import write
from slm_pipeline_tests.s1_collect.test_importers import objects, values

CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}", "status": "completed"}


def request(asked, **more):
    return openai_responses.chat_request({"input": asked} | more)


def answer(*output, **more):
    return openai_responses.chat_response({"object": "response", "output": list(output)} | more)["choices"][0]


def test_instructions_and_input_become_messages():
    assert request("Hi", instructions="Be kind.")["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
    ]
    picture = {
        "role": "user",
        "content": [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": "u", "detail": "low"}],
    }
    image = {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
    assert request([picture])["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Look"}, image]}]


def test_items_of_one_answer_become_one_message():
    thought, text = (
        {"type": "reasoning", "id": "r"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "One"}]},
    )
    output = {"type": "function_call_output", "call_id": "c1", "output": "1"}
    user, said, tool, end = request([{"role": "user", "content": "Hi"}, thought, text, CALL, CALL | {"call_id": "c2"}, output, text])[
        "messages"
    ]
    assert user == {"role": "user", "content": "Hi"}
    assert (said["content"], said["reasoning"]) == ("One", [thought])
    assert [call["id"] for call in said["tool_calls"]] == ["c1", "c2"]
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "1"}
    assert end == {"role": "assistant", "content": "One"}


def test_parameters_get_the_names_of_chat_completions():
    form = {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}
    body = request(
        "Hi",
        tools=[{"type": "function", "name": "f", "parameters": {}, "strict": True}, {"type": "web_search"}],
        tool_choice={"type": "function", "name": "f"},
        text={"format": form},
        max_output_tokens=7,
        reasoning={"effort": "low"},
        top_p=0.5,
    )
    assert body["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": True}}, {"type": "web_search"}]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    schema = {"name": "n", "schema": {"type": "object"}, "strict": True}
    assert body["response_format"] == {"type": "json_schema", "json_schema": schema}
    assert (body["max_completion_tokens"], body["reasoning_effort"], body["top_p"]) == (7, "low", 0.5)
    assert request("Hi", text={"format": {"type": "json_object"}})["response_format"] == {"type": "json_object"}
    assert "response_format" not in request("Hi", text={"format": {"type": "text"}})


def test_why_a_response_ended():
    text = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    assert answer(text)["finish_reason"] == "stop"
    assert answer(text, CALL)["finish_reason"] == "tool_calls"
    assert answer(text, incomplete_details={"reason": "max_output_tokens"})["finish_reason"] == "length"
    assert answer(text, incomplete_details={"reason": "content_filter"})["finish_reason"] == "content_filter"
    assert answer({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]})["message"]["refusal"] == "no"


@given(objects, st.sampled_from(["input", "instructions", "tools", "tool_choice", "text", "output", "usage", "incomplete_details"]), values)
def test_no_body_is_too_odd_to_translate(body, key, value):
    odds = (value, [value], [{"role": "assistant", "content": value}], [{"type": value}], [CALL | {"arguments": value}], {"format": value})
    for odd in odds:
        assert isinstance(openai_responses.chat_request(body | {key: odd})["messages"], list)
        assert openai_responses.chat_response(body | {key: odd})["choices"][0]["message"]["role"] == "assistant"


def test_responses_that_openai_strings_together_are_one_session(tmp_path):
    first, second = forms.responses(0), forms.responses(2)
    second["request"] |= {"previous_response_id": first["response"]["id"]}
    calls = list(read_calls(write(tmp_path / "x", first, second)))
    assert calls[0].session_id == calls[1].session_id
    assert calls[1].request["previous_response_id"] == "resp_0"


def test_a_stored_completion_without_its_messages_says_where_they_are(tmp_path):
    bare = {key: value for key, value in forms.stored(0).items() if key != "messages"}
    bad, good = read_calls(write(tmp_path / "x", json.dumps({"object": "list", "data": [bare, forms.stored(1)], "has_more": False})))
    assert "GET /v1/chat/completions/{id}/messages" in bad.reason
    assert good.id == "openai-chatcmpl-1"
    assert good.request["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "shipped on Tuesday"}
    assert "messages" not in good.response


def test_a_stored_response_is_read_with_its_input_items(tmp_path):
    line = forms.responses(1)
    stored = line["response"] | {"instructions": forms.SYSTEM, "input_items": {"object": "list", "data": line["request"]["input"]}}
    (call,) = read_calls(write(tmp_path / "x", stored))
    assert [message["role"] for message in call.request["messages"]] == ["system", "user", "assistant", "tool"]


def halves(*numbers):
    return [forms.batch_input(n) for n in numbers], [forms.batch_output(n) for n in numbers]


@pytest.mark.parametrize("order", ["asked first", "answered first", "mixed"])
def test_the_halves_of_a_batch_are_matched(tmp_path, order):
    asked, answered = halves(0, 1, 2)
    lines = {"asked first": asked + answered[::-1], "answered first": answered + asked, "mixed": [asked[0], *answered, *asked[1:]]}[order]
    calls = sorted(read_calls(write(tmp_path / "x", *lines)), key=lambda call: call.id)
    assert [call.id for call in calls] == [f"openai-chatcmpl-{n}" for n in range(3)]
    assert [call.request["messages"] for call in calls] == forms.ASKED
    assert {(call.agent, call.client_id) for call in calls} == {(forms.AGENT, forms.CLIENT)}


def test_two_files_of_a_batch_in_one_folder_are_matched(tmp_path):
    asked, answered = halves(0, 1)
    write(tmp_path / "batch_7_output.jsonl", *answered)
    write(tmp_path / "batch_7_input.jsonl", *asked)
    assert [call.id for call in read_calls(tmp_path)] == ["openai-chatcmpl-0", "openai-chatcmpl-1"]


def test_half_a_batch_says_what_is_missing(tmp_path):
    asked, answered = halves(0, 1)
    call, bad = read_calls(write(tmp_path / "x", *asked, answered[0]))
    assert call.id == "openai-chatcmpl-0"
    assert (bad.line, "output file into the same folder" in bad.reason) == (2, True)
    (bad,) = read_calls(write(tmp_path / "y", answered[1]))
    assert "input file into the same folder" in bad.reason


def test_what_is_no_half_waits_for_nothing(tmp_path):
    (bad,) = (
        item for item in read_calls(write(tmp_path / "x", forms.batch_input(0), {"a": 1}, forms.batch_output(0))) if not hasattr(item, "id")
    )
    assert bad.line == 2


def test_two_batches_with_the_same_ids_are_not_mixed_up(tmp_path):
    asked, answered = halves(0, 1)
    other = forms.batch_input(2) | {"custom_id": "request-0"}
    items = list(read_calls(write(tmp_path / "x", *asked, other, *answered)))
    assert [item.id for item in items if hasattr(item, "id")] == ["openai-chatcmpl-1"]
    assert sum("one batch at a time" in item.reason for item in items if hasattr(item, "reason")) == 3


def test_a_failed_request_of_a_batch_is_named(tmp_path):
    failed = forms.batch_output(0) | {"response": {"status_code": 429, "body": {"error": {"message": "Too many requests"}}}}
    expired = forms.batch_output(1) | {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
    first, second = read_calls(write(tmp_path / "x", *halves(0, 1)[0], failed, expired))
    assert "no answer" in first.reason
    assert "Too many requests" in first.reason
    assert "too late" in second.reason


def test_anthropic_batches_are_matched_too(tmp_path):
    asked = [{"custom_id": f"q{n}", "params": forms.anthropic_body(n)} for n in range(3)]
    answered = [{"custom_id": f"q{n}", "result": {"type": "succeeded", "message": forms.anthropic_message(n)}} for n in range(2)]
    answered.append({"custom_id": "q2", "result": {"type": "errored", "error": {"type": "error", "error": {"message": "bad image"}}}})
    (tmp_path / "a.json").write_text(json.dumps({"requests": asked}, indent=1))
    write(tmp_path / "results.jsonl", *answered)
    first, second, bad = read_calls(tmp_path)
    assert (first.id, second.id) == ("anthropic-msg_0", "anthropic-msg_1")
    assert first.session_id == second.session_id
    assert "bad image" in bad.reason
