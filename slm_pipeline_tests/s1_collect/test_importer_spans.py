"""What only spans hold: OTLP's nesting, OpenTelemetry's GenAI conventions, OpenInference."""

import json

import pytest

from slm_pipeline.records import Answer, response_answer
from slm_pipeline.s1_collect.importers import read_calls
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.forms_spans import genai_plain, openinference, otlp, span
from slm_pipeline_tests.s1_collect.test_importer_forms import write

MESSAGES = {
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]),
    "gen_ai.output.messages": json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}], "finish_reason": "stop"}]),
}


def only(tmp_path, plain, **more):
    (item,) = read_calls(write(tmp_path / "x", otlp(span(0, plain, **more))))
    return item


def test_one_line_of_a_collector_holds_many_calls(tmp_path):
    spans = [span(n, genai_plain(n) | MESSAGES) for n in range(3)]
    line, again = otlp(*spans), otlp(span(0, genai_plain(0) | MESSAGES), service="other")
    calls = list(read_calls(write(tmp_path / "x", line | {"resourceSpans": line["resourceSpans"] + again["resourceSpans"]})))
    assert [call.agent for call in calls] == ["orders"] * 3 + ["other"]


def test_a_document_of_spans_is_streamed_by_resource(tmp_path):
    (tmp_path / "x").write_text(json.dumps(otlp(span(0, genai_plain(0) | MESSAGES)), indent=2))
    assert [call.agent for call in read_calls(tmp_path / "x")] == ["orders"]


def test_span_names_and_ids_may_be_written_with_underscores(tmp_path):
    text = json.dumps(otlp(span(0, genai_plain(0) | MESSAGES)))
    for name, other in (
        ("resourceSpans", "resource_spans"),
        ("scopeSpans", "scope_spans"),
        ("stringValue", "string_value"),
        ("traceId", "trace_id"),
    ):
        text = text.replace(f'"{name}"', f'"{other}"')
    (call,) = read_calls(write(tmp_path / "x", text))
    assert response_answer(call.response) == Answer("Hello")


@pytest.mark.parametrize(
    ("named", "session"), [("session.id", "s1"), ("gen_ai.conversation.id", "s1"), ("traceloop.association.properties.session_id", "s1")]
)
def test_the_session_that_a_span_names(tmp_path, named, session):
    assert only(tmp_path, genai_plain(0) | MESSAGES | {named: session}).session_id == session


def test_the_agent_that_a_span_names_comes_before_its_service(tmp_path):
    assert only(tmp_path, genai_plain(0) | MESSAGES | {"gen_ai.agent.name": "returns"}).agent == "returns"


def test_spans_of_one_trace_are_one_session(tmp_path):
    same = {"traceId": "a" * 32}
    first, second = read_calls(write(tmp_path / "x", otlp(*(span(n, genai_plain(n) | MESSAGES, **same) for n in (0, 2)))))
    assert first.session_id == second.session_id


def test_a_span_without_content_says_how_to_capture_it(tmp_path):
    assert "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT" in only(tmp_path, genai_plain(0)).reason


def test_a_failed_span_is_named_with_its_error(tmp_path):
    asked = {key: value for key, value in (genai_plain(0) | MESSAGES).items() if key != "gen_ai.output.messages"}
    bad = only(tmp_path, asked, status={"code": 2, "message": "connection reset"})
    assert "the call has no answer: connection reset" in bad.reason
    assert "chat gpt-4o" in bad.reason


@pytest.mark.parametrize("operation", ["embeddings", "execute_tool", "invoke_agent", "create_agent"])
def test_spans_that_are_no_chat_are_passed_over(tmp_path, operation):
    assert list(read_calls(write(tmp_path / "x", otlp(span(0, genai_plain(0) | MESSAGES | {"gen_ai.operation.name": operation}))))) == []


def test_parts_that_are_no_text(tmp_path):
    image = {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"}
    asked = [{"role": "user", "parts": [{"type": "text", "content": "Look"}, image]}]
    answered = [{"role": "assistant", "parts": [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "A cat"}]}]
    told = {"gen_ai.input.messages": json.dumps(asked), "gen_ai.output.messages": json.dumps(answered)}
    call = only(tmp_path, genai_plain(1) | told)
    assert call.request["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert call.response["choices"][0]["message"]["content"] == "A cat"


@pytest.mark.parametrize(
    ("plain", "events"),
    [
        ({"gen_ai.prompt": "Hi", "gen_ai.completion": "Hello"}, ()),
        ({"gen_ai.prompt": json.dumps([{"role": "user", "content": "Hi"}]), "gen_ai.completion": json.dumps([{"content": "Hello"}])}, ()),
        ({}, (("gen_ai.content.prompt", {"gen_ai.prompt": "Hi"}), ("gen_ai.content.completion", {"gen_ai.completion": "Hello"}))),
        ({}, (("gen_ai.user.message", {"content": "Hi"}), ("gen_ai.choice", {"message": "Hello", "finish_reason": "stop"}))),
        ({"gen_ai.prompt.0.content": '[{"type": "text", "text": "Hi"}]', "gen_ai.completion.0.content": "Hello"}, ()),
    ],
)
def test_older_ways_to_write_prompt_and_completion(tmp_path, plain, events):
    call = only(tmp_path, genai_plain(1) | plain, events=events)
    assert call.request["messages"] == [{"role": "user", "content": "Hi"}]
    assert response_answer(call.response) == Answer("Hello")


def test_a_choice_in_an_event_may_hold_tool_calls(tmp_path):
    choice = {"finish_reason": "tool_calls", "index": 0, "tool_calls": json.dumps([forms.CALL])}
    call = only(tmp_path, genai_plain(0), events=(("gen_ai.user.message", {"content": "Hi"}), ("gen_ai.choice", choice)))
    assert call.response["choices"][0]["message"]["tool_calls"] == [forms.CALL]


def test_more_than_ten_flattened_messages_keep_their_order(tmp_path):
    told = {f"gen_ai.prompt.{i}.{key}": value for i in range(12) for key, value in (("role", "user"), ("content", f"m{i}"))}
    call = only(tmp_path, genai_plain(1) | told | {"gen_ai.completion.0.content": "ok"})
    assert [message["content"] for message in call.request["messages"]] == [f"m{i}" for i in range(12)]


def test_openinference_takes_why_an_answer_ended_from_the_raw_output(tmp_path):
    line = openinference(1)
    listed = line["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"]
    for item in listed:
        if item["key"] == "output.value":
            item["value"]["stringValue"] = json.dumps({"choices": [{"finish_reason": "length"}]})
    (call,) = read_calls(write(tmp_path / "x", line))
    assert call.response["choices"][0]["finish_reason"] == "length"
    assert call.cost == 0.0003


def test_openinference_parts_and_tools_of_other_apis(tmp_path):
    told = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "claude",
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "Look",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.0.message.contents.1.message_content.image.image.url": "u",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.content": "A cat",
        "llm.tools.0.tool.json_schema": json.dumps({"name": "f", "description": "d", "input_schema": {"type": "object"}}),
        "session.id": "s1",
    }
    call = only(tmp_path, told)
    assert call.request["messages"][0]["content"] == [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "u"}}]
    assert call.request["tools"] == [{"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}]
    assert call.session_id == "s1"
