"""An SLM answers first, where it may; the LLM answers the rest, and every call stands in the log with who answered and why."""

import json
import os
import signal
import time
from pathlib import Path

import anthropic
import openai
import pytest

from slm_pipeline.s6_refine.release import RELEASE, adapter_files
from slm_pipeline.s6_refine.rollout import Rollout, read_rollout, write_rollout
from slm_pipeline.s6_refine.verifier_model import VERIFIER
from slm_pipeline_tests.gateway.recorded_upstream import eventually
from slm_pipeline_tests.gateway.released import engine_of, newest, post, request, rewritten, until_served


def test_an_answer_of_the_slm_is_an_openai_answer_and_the_log_says_whose(served):
    gateway, _, release = served
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none")
    answer = client.chat.completions.create(**request())
    (call,) = answer.choices[0].message.tool_calls
    assert call.function.name in ("get_weather", "get_time")
    assert isinstance(json.loads(call.function.arguments), dict)
    assert answer.choices[0].finish_reason == "tool_calls"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
    assert gateway.upstream.requests == []
    logged = newest(gateway)
    assert (logged.route.served_by, logged.route.reason, logged.route.release) == ("slm", "certified", release)
    assert 0 <= logged.route.p_ok <= 1
    (attempt,) = logged.route.attempts
    assert (attempt.verdict, attempt.role) == ("accepted", "slm")
    assert logged.response["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == call.function.name


def test_a_stream_says_the_same_as_the_whole_answer(served):
    gateway, *_ = served
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none")
    whole = client.chat.completions.create(**request()).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(**request(), stream_options={"include_usage": True}) as stream:
        streamed = stream.get_final_completion()
    function = streamed.choices[0].message.tool_calls[0].function
    assert (function.name, json.loads(function.arguments)) == (whole.name, json.loads(whole.arguments))
    assert streamed.usage.completion_tokens > 0
    assert gateway.upstream.requests == []
    assert newest(gateway).route.served_by == "slm"


def test_other_apis_get_their_own_form(served):
    gateway, *_ = served
    tools = [of["function"] for of in request()["tools"]]
    claude = anthropic.Anthropic(base_url=gateway.url, api_key="none")
    described = [{"name": of["name"], "description": of["description"], "input_schema": of["parameters"]} for of in tools]
    asked = {"model": "teacher", "max_tokens": 100, "messages": request()["messages"], "tools": described}
    message = claude.messages.create(**asked)
    assert message.stop_reason == "tool_use"
    assert message.content[0].name in {of["name"] for of in tools}
    with claude.messages.stream(**asked) as stream:
        assert stream.get_final_message().content[0].input == message.content[0].input
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none")
    described = [{"type": "function", **of} for of in tools]
    asked = {"model": "teacher", "input": request()["messages"][0]["content"], "tools": described, "store": False}
    response = client.responses.create(**asked)
    assert response.output[0].type == "function_call"
    with client.responses.stream(**asked) as stream:
        assert stream.get_final_response().output[0].arguments == response.output[0].arguments
    assert [(call.route.served_by, call.route.reason) for call in gateway.calls()[-4:]] == [("slm", "certified")] * 4
    client.responses.create(**asked | {"store": True})
    assert newest(gateway).route.reason == "stored_response", "a later call may name it, and only the upstream would know it"


def test_a_tool_that_is_described_otherwise_by_one_byte_goes_to_the_llm(served):
    gateway, *_ = served
    changed = request()
    changed["tools"][0]["function"]["description"] += "."
    answer = post(gateway, changed)
    assert answer.headers["x-slm-route"] == "llm"
    assert newest(gateway).route.reason == "template_changed"
    assert len(gateway.upstream.requests) == 1


@pytest.mark.parametrize("option", [{"n": 2}, {"logprobs": True}, {"tool_choice": "required"}])
def test_what_an_slm_cannot_do_the_llm_does(served, option):
    gateway, *_ = served
    assert post(gateway, request(**option)).headers["x-slm-route"] == "llm"
    assert newest(gateway).route.reason == f"unsupported_{next(iter(option))}"


def test_a_killed_engine_costs_no_answer_and_comes_back(served):
    gateway, *_ = served
    os.kill(engine_of(gateway), signal.SIGKILL)
    answers = [post(gateway, request()) for _ in range(5)]
    assert {answer.status_code for answer in answers} == {200}
    assert "llm" in {answer.headers["x-slm-route"] for answer in answers}
    until_served(gateway)
    reasons = {call.route.reason for call in gateway.calls() if call.route}
    assert "slm_died" in reasons


def test_while_the_upstream_is_down_the_slm_serves_and_others_hear_why(served):
    gateway, *_ = served
    with gateway.upstream.down():
        assert post(gateway, request()).headers["x-slm-route"] == "slm"
        refused = post(gateway, request(n=2))
    assert refused.status_code in (502, 503)
    assert refused.json()["error"]["code"]
    assert newest(gateway).failed


def test_with_neither_upstream_nor_slm_the_client_hears_of_both(served):
    gateway, *_ = served
    with gateway.upstream.down():
        os.kill(engine_of(gateway), signal.SIGKILL)
        refused = post(gateway, request())
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "slm_and_upstream_unavailable"
    assert "slm_died" in refused.json()["error"]["message"]
    assert newest(gateway).failed
    until_served(gateway)


def test_a_damaged_release_is_refused_and_the_old_one_serves_on(served):
    gateway, lake, release = served
    written = lake.version(RELEASE, None, release)
    (group,) = written.json("release")["groups"]
    broken = rewritten(lake, written, {f"{group}.router.npz": b"no arrays"})
    rollout = read_rollout(lake)
    write_rollout(lake, rollout.offered(broken).promoted().promoted())
    time.sleep(4)
    until_served(gateway)
    assert newest(gateway).route.release == release
    write_rollout(lake, read_rollout(lake).rolled_back("damaged"))
    until_served(gateway)
    assert newest(gateway).route.release == release


def test_a_release_whose_files_were_changed_is_refused_until_they_are_as_they_were(served):
    gateway, lake, release = served
    written = lake.version(RELEASE, None, release)
    other = rewritten(lake, written, {"release": written.json("release") | {"note": "another one"}})
    file = Path(lake.version(RELEASE, None, other).path) / "release.json"
    kept = file.read_text()
    file.write_text(kept.replace("another one", "tampered with"))
    write_rollout(lake, read_rollout(lake).offered(other).promoted().promoted())
    time.sleep(4)
    until_served(gateway)
    assert newest(gateway).route.release == release
    file.write_text(kept)
    assert eventually(lambda: until_served(gateway) and newest(gateway).route.release == other, 30)


def test_a_verifier_model_is_asked_before_an_answer_is_served(served):
    """Here it is the adapter itself, which says anything but yes or no."""
    gateway, lake, release = served
    written = lake.version(RELEASE, None, release)
    facts = written.json("release")
    (group,) = facts["groups"]
    adapter = adapter_files(facts, group, lake)
    files = {name: adapter.bytes(name) for name in adapter.files if not name.endswith(".json")} | {"verifier": {}}
    facts["groups"][group]["verifier"] = lake.write(VERIFIER, group, files, keep_old=True).digest
    with_verifier = rewritten(lake, written, {"release": facts})
    write_rollout(lake, Rollout(serving=with_verifier))
    of_it = lambda: post(gateway, request()).headers["x-slm-route"] == "slm" and newest(gateway).route.release == with_verifier  # noqa: E731
    assert eventually(of_it, 60)
    assert gateway.metric("slm_engines_ready") == 2, "the adapter's and the verifier's"


@pytest.mark.parametrize("messages", [None, [], "hello", [{"role": "user"}], [None], [{"role": "user", "content": 7}]])
def test_a_request_that_is_none_is_the_upstreams_to_refuse(served, messages):
    gateway, *_ = served
    assert post(gateway, request() | {"messages": messages}).headers["x-slm-route"] == "llm"
    assert gateway.upstream.requests
    assert post(gateway, request()).headers["x-slm-route"] == "slm"


def test_a_release_in_shadow_serves_nothing_and_is_compared(served):
    gateway, lake, release = served
    write_rollout(lake, Rollout().offered(release))
    until_served(gateway, "llm")
    answers = [post(gateway, request(f"weather in shadow number {i}")) for i in range(3)]
    assert {answer.headers["x-slm-route"] for answer in answers} == {"llm"}

    def routes():
        calls = [call for call in gateway.calls() if "in shadow" in json.dumps(call.request["messages"])]
        return [call.route for call in calls]

    assert eventually(lambda: len(routes()) == 3, seconds=60)
    assert {route.served_by for route in routes()} == {"llm"}
    shadows = [attempt for route in routes() for attempt in route.attempts if attempt.role == "shadow"]
    assert len(shadows) == 3
    assert {attempt.verdict for attempt in shadows} == {"rejected"}, "it says something else than the LLM"
