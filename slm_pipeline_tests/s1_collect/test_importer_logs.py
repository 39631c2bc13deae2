"""What only LiteLLM's or Langfuse's records hold."""

import json

import pytest

from slm_pipeline.records import Answer, target_of
from slm_pipeline.s1_collect.importers import read_calls
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.test_importer_forms import write


def only(tmp_path, record):
    (call,) = read_calls(write(tmp_path / "x", record))
    return call


def changed(record, where, **values):
    return record | {where: record[where] | values}


def test_litellm_cost_latency_and_origin(tmp_path):
    call = only(tmp_path, forms.litellm(0))
    assert (call.id, call.cost, call.latency_ms) == ("litellm-chatcmpl-0", 0.00021, 1500)
    assert call.model_extra["source"]["trace"] == "0e7f-0"


def test_litellm_agent_client_and_session_by_what_is_there(tmp_path):
    record = forms.litellm(0)
    told = changed(record, "metadata", requester_metadata={"agent": "returns", "session_id": "s-7"})
    assert (only(tmp_path, told).agent, only(tmp_path, told).session_id) == ("returns", "s-7")
    bare = changed(record, "metadata", user_api_key_alias=None) | {"end_user": ""}
    assert (only(tmp_path, bare).agent, only(tmp_path, bare).client_id) == ("checkout", "svc")
    nobody = record | {"metadata": {}, "end_user": None, "request_tags": ["User-Agent: x"]}
    assert (only(tmp_path, nobody).agent, only(tmp_path, nobody).client_id) == ("unknown", "unknown")


def test_calls_of_one_litellm_trace_are_one_session(tmp_path):
    first, _, third = read_calls(write(tmp_path / "x", *(forms.litellm(n) | {"trace_id": "t"} for n in range(3))))
    assert first.session_id == third.session_id == "litellm-t"


def test_litellm_times_may_be_texts(tmp_path):
    record = forms.litellm(0) | {"startTime": "2026-10-01 22:13:20.5", "endTime": "2026-10-01 22:13:21.75"}
    call = only(tmp_path, record)
    assert (call.timestamp, call.latency_ms) == (1_790_892_800.5, 1250)


@pytest.mark.parametrize("kind", ["aembedding", "image_generation", "atranscription", "rerank", "moderation"])
def test_litellm_calls_to_other_models_are_passed_over(tmp_path, kind):
    assert list(read_calls(write(tmp_path / "x", forms.litellm(0) | {"call_type": kind}))) == []


def test_litellm_redaction_is_named(tmp_path):
    record = forms.litellm(0) | {"messages": [{"role": "user", "content": "redacted-by-litellm"}]}
    assert "turn_off_message_logging" in only(tmp_path, record).reason


def test_litellm_logs_other_apis_in_their_own_form(tmp_path):
    body, line = forms.responses(1)["request"], forms.responses(1)
    responses = forms.litellm(1) | {"call_type": "aresponses", "messages": {"input": body["input"]}, "response": line["response"]}
    assert [m["role"] for m in only(tmp_path, responses).request["messages"]] == ["user", "assistant", "tool"]
    messages = forms.anthropic_body(1)["messages"]
    native = forms.litellm(1) | {"call_type": "anthropic_messages", "messages": messages, "response": forms.anthropic_message(1)}
    assert [m["role"] for m in only(tmp_path, native).request["messages"]] == ["user", "assistant", "tool"]


@pytest.mark.parametrize(
    ("asked", "answered", "messages", "answer"),
    [
        ("Hello", "Hi", [{"role": "user", "content": "Hello"}], Answer("Hi")),
        (
            [{"role": "user", "content": "Hello"}],
            {"role": "assistant", "content": "Hi"},
            [{"role": "user", "content": "Hello"}],
            Answer("Hi"),
        ),
        (json.dumps(forms.OPENING), json.dumps({"role": "assistant", "content": "Hi"}), forms.OPENING, Answer("Hi")),
        ({"messages": forms.OPENING}, {"choices": [{"message": {"role": "assistant", "content": "Hi"}}]}, forms.OPENING, Answer("Hi")),
        (
            {"role": "user", "content": "Hello"},
            [{"role": "assistant", "content": "Hi"}],
            [{"role": "user", "content": "Hello"}],
            Answer("Hi"),
        ),
        # an answer in JSON: exports store it parsed
        ({"messages": forms.OPENING}, {"verdict": "late"}, forms.OPENING, Answer('{"verdict": "late"}')),
        ({"messages": forms.OPENING}, '{"verdict": "late"}', forms.OPENING, Answer('{"verdict": "late"}')),
        ({"messages": forms.OPENING}, {"content": "late", "score": 2}, forms.OPENING, Answer('{"content": "late", "score": 2}')),
        ({"messages": forms.OPENING}, [{"type": "text", "text": "Hi"}], forms.OPENING, Answer("Hi")),
    ],
)
def test_langfuse_inputs_and_outputs_have_many_forms(tmp_path, asked, answered, messages, answer):
    call = only(tmp_path, forms.langfuse(0) | {"input": asked, "output": answered})
    assert call.request["messages"] == messages
    assert target_of(call).answer == answer


def test_messages_without_roles_are_named(tmp_path):
    inside = [[{"type": "human", "content": "Hello"}]]
    assert "each needs a role" in only(tmp_path, forms.langfuse(0) | {"input": inside}).reason


def test_langfuse_blob_storage_rows_are_written_with_underscores(tmp_path):
    row = {
        "id": "o1",
        "trace_id": "t1",
        "type": "GENERATION",
        "start_time": "2026-10-02 10:00:00.250000",
        "end_time": "2026-10-02 10:00:01.250000",
        "name": "answer",
        "input": json.dumps({"messages": forms.OPENING}),
        "output": json.dumps(forms.SAID[0]),
        "provided_model_name": "gpt-4o",
        "model_parameters": '{"temperature":0.2}',
        "usage_details": {"input": 50, "input_cached_tokens": 10, "output": 12, "total": 72},
        "cost_details": {"total": 0.01},
        "tool_definitions": {"find_order": json.dumps({"description": "d", "parameters": forms.PARAMETERS})},
        "user_id": "mara",
        "session_id": "s1",
        "trace_name": "orders",
        "tags": [],
    }
    call = only(tmp_path, row)
    assert (call.id, call.agent, call.client_id, call.session_id) == ("langfuse-o1", "orders", "mara", "s1")
    assert (call.timestamp, call.latency_ms, call.cost) == (1_790_935_200.25, 1000, 0.01)
    assert call.request["temperature"] == 0.2
    assert call.request["tools"][0]["function"] == {"name": "find_order", "description": "d", "parameters": forms.PARAMETERS}
    usage = call.response["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (60, 12, 72)


def scored(*scores):
    return forms.langfuse_trace(0) | {"scores": list(scores)}


@pytest.mark.parametrize(
    ("score", "outcome"),
    [
        ({"name": "user-feedback", "dataType": "NUMERIC", "value": 0}, {"score": 0}),
        ({"name": "Correctness", "dataType": "BOOLEAN", "value": 0, "stringValue": "False"}, {"success": False}),
        ({"name": "correctness", "dataType": "CATEGORICAL", "value": None, "stringValue": "yes"}, {"success": True}),
        ({"name": "toxicity", "dataType": "NUMERIC", "value": 0}, {}),  # zero is good here, so it judges nothing
    ],
)
def test_langfuse_scores_become_the_outcome(tmp_path, score, outcome):
    call = only(tmp_path, scored(score | {"traceId": "trace-0"}))
    assert {key: value for key, value in call.outcome.items() if key != "scores"} == outcome
    assert list(call.outcome["scores"]) == [score["name"]]


def test_a_langfuse_score_of_another_observation_says_nothing_of_this_one(tmp_path):
    assert only(tmp_path, scored({"name": "score", "value": 0, "dataType": "NUMERIC", "observationId": "root-0"})).outcome is None
    assert only(tmp_path, scored({"name": "score", "value": 1, "dataType": "NUMERIC", "observationId": "obs-0"})).outcome["score"] == 1


def test_a_langfuse_correction_is_what_is_learned(tmp_path):
    call = only(tmp_path, scored({"name": "output", "dataType": "CORRECTION", "value": "It left on Monday.", "observationId": "obs-0"}))
    assert target_of(call).source == "correction"
    assert target_of(call).answer == Answer("It left on Monday.")


def test_a_trace_downloaded_from_langfuse_keeps_its_observations_beside_it(tmp_path):
    trace = forms.langfuse_trace(0)
    observations = trace.pop("observations")
    (tmp_path / "x").write_text(json.dumps({"trace": trace | {"sessionId": "s9"}, "observations": observations}, indent=2))
    (call,) = read_calls(tmp_path / "x")
    assert (call.agent, call.client_id, call.session_id, call.outcome["score"]) == ("orders", "mara", "s9", 1)


def test_a_list_of_langfuse_observations_may_be_wrapped(tmp_path):
    (tmp_path / "x").write_text(json.dumps({"observations": [forms.langfuse(n) for n in range(3)]}))
    assert [call.id for call in read_calls(tmp_path / "x")] == ["langfuse-obs-0", "langfuse-obs-1", "langfuse-obs-2"]


def test_langfuse_rows_that_are_no_observations_say_what_to_export(tmp_path):
    trace = forms.langfuse_trace(0) | {"observations": ["obs-0"]}
    score = {"id": "s", "traceId": "t", "name": "score", "value": 1, "dataType": "NUMERIC"}
    first, second = read_calls(write(tmp_path / "x", trace, score))
    assert "export it with them" in first.reason
    assert "observations table" in second.reason
