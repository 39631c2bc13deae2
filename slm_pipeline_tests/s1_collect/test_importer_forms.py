"""The same three calls in every form come out as the same calls."""

import gzip
import json

import pytest

from slm_pipeline.records import AgentCall, answer_of, response_answer
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.importers import BadLine, import_file, read_calls
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s3_cluster.structure import text_of
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.forms_spans import FORMS

every_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


def write(path, *records):
    path.write_text("".join(record if isinstance(record, str) else json.dumps(record) + "\n" for record in records))
    return path


def said(message):
    """What a message says, free of ids and of how it is written."""
    answer = answer_of(message) if message["role"] == "assistant" else None
    return [message["role"], [(call.name, call.arguments) for call in answer.tool_calls] or answer.text if answer else text_of(message)]


@every_form
def test_messages_tools_answer_and_usage_of_every_form(tmp_path, form):
    read = list(read_calls(write(tmp_path / "x", *(form(n) for n in range(3)))))
    assert len(read) == 3
    for number, call in enumerate(read):
        assert isinstance(call, AgentCall), call
        assert [said(message) for message in call.request["messages"]] == [said(message) for message in forms.ASKED[number]]
        assert response_answer(call.response) == answer_of(forms.SAID[number])
        assert call.request["tools"] == [forms.TOOL]
        assert call.request["temperature"] == 0.2
        assert call.response["choices"][0]["finish_reason"] == ("stop" if number else "tool_calls")
        assert {key: call.response["usage"][key] for key in forms.usage(0)} == forms.usage(number)
        assert call.request["model"] in ("gpt-4o", "gpt-4o-2024-08-06", "claude-sonnet-4-5")
        assert abs(call.timestamp - forms.TIME - number) < 900


@every_form
def test_agent_client_and_session_of_every_form(tmp_path, form):
    first, second, third = read_calls(write(tmp_path / "x", *(form(n) for n in range(3))))
    assert {call.agent for call in (first, second, third)} == {forms.AGENT}
    assert {call.client_id for call in (first, second, third)} == {forms.AGENT if form is forms.flywheel else forms.CLIENT}
    assert first.session_id == second.session_id != third.session_id


@every_form
def test_a_call_of_every_form_survives_being_logged(tmp_path, form):
    for call in read_calls(write(tmp_path / "x", *(form(n) for n in range(3)))):
        assert AgentCall.model_validate_json(call.to_json()) == call


@every_form
def test_importing_again_in_another_wrapping_adds_nothing(home, form):
    from slm_pipeline.settings import get_settings

    log = CallLog(get_settings(), Role.COLLECTOR)
    records = [form(n) for n in range(3)]
    assert import_file(write(home / "calls.txt", *records), log, pytest.fail).added == 3
    (home / "again").write_bytes(gzip.compress(json.dumps(records, indent=2).encode()))
    appended = import_file(home / "again", log, pytest.fail)
    assert (appended.added, appended.repeated) == (0, 3)


@every_form
@pytest.mark.parametrize("bad", ["{", '{"a": NaN}', "[]", '{"hello": "world"}', "\x00", "9" * 5000])
def test_good_records_are_kept_among_bad_lines(tmp_path, form, bad):
    read = list(read_calls(write(tmp_path / "x", form(0), bad + "\n", form(1), bad + "\n", form(2))))
    assert [item.line for item in read if isinstance(item, BadLine)] == [2, 4]
    assert len([item for item in read if isinstance(item, AgentCall)]) == 3


def test_all_forms_in_one_file_are_told_apart_by_their_content(tmp_path):
    read = list(read_calls(write(tmp_path / "x.csv", *(form(2) for form in FORMS.values()))))
    assert all(isinstance(call, AgentCall) for call in read)
    assert len(read) == len(FORMS)


@pytest.mark.parametrize(
    ("form", "failed", "why"),
    [
        (forms.litellm, {"status": "failure", "response": None, "error_str": "rate limited"}, "rate limited"),
        (forms.langfuse, {"output": None, "level": "ERROR", "statusMessage": "timed out"}, "timed out"),
        (forms.anthropic, {"response": {"type": "error", "error": {"type": "overloaded", "message": "Overloaded"}}}, "Overloaded"),
        (forms.responses, {"response": {"object": "response", "status": "failed", "output": [], "error": {"message": "boom"}}}, "boom"),
        (forms.stored, {"choices": []}, "no answer"),
    ],
)
def test_a_call_without_an_answer_is_named_with_its_error(tmp_path, form, failed, why):
    good, bad = read_calls(write(tmp_path / "x", form(0), form(2) | failed))
    assert isinstance(good, AgentCall)
    assert bad.line == 2
    assert "the call has no answer" in bad.reason
    assert why in bad.reason


def test_a_record_of_no_known_form_is_named(tmp_path):
    bad, good = read_calls(write(tmp_path / "x", {"run_type": "llm", "inputs": {}}, forms.canonical(0)))
    assert "no form that is known" in bad.reason
    assert good.id == "c0"
