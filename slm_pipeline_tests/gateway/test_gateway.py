"""What the gateway does beside passing calls on: names, headers, feedback, metrics, health."""

import json
import re

import httpx2
import pytest

from slm_pipeline.records import target_of
from slm_pipeline_tests.gateway.logged import logged


def ask(gateway, words, headers=None, path="/v1/chat/completions", **more):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words}], **more}
    return httpx2.post(f"{gateway.url}{path}", json=body, headers=headers or {}, timeout=30)


def give(gateway, headers=None, **feedback):
    return httpx2.post(f"{gateway.url}/v1/feedback", json=feedback, headers=headers or {}, timeout=30)


def test_the_answer_says_its_id_its_route_and_what_the_gateway_took(gateway):
    answer = ask(gateway, "which headers?")
    (call,) = logged(gateway, "which headers?")
    assert answer.headers["x-slm-id"] == call.id
    assert answer.headers["x-slm-route"] == "llm"
    assert 0 < float(answer.headers["x-slm-overhead-ms"]) < 1000
    assert call.route.reason == "no_release"


def test_agent_and_session_are_those_of_the_headers(gateway):
    ask(gateway, "named by headers", {"x-slm-agent": "planner", "x-slm-session": "run 7"})
    (call,) = logged(gateway, "named by headers")
    assert (call.agent, call.session_id) == ("planner", "run 7")


def test_a_trace_is_a_session(gateway):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    ask(gateway, "part of a trace", {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    (call,) = logged(gateway, "part of a trace")
    assert call.session_id == f"trace-{trace}"


def test_without_names_a_conversation_is_a_session_and_a_key_is_an_agent(gateway):
    def converse(words, key):
        messages = [{"role": "user", "content": words}]
        headers = {"authorization": f"Bearer {key}"}
        first = httpx2.post(f"{gateway.url}/v1/chat/completions", json={"model": "m", "messages": messages}, headers=headers).json()
        messages += [first["choices"][0]["message"], {"role": "user", "content": "and then?"}]
        httpx2.post(f"{gateway.url}/v1/chat/completions", json={"model": "m", "messages": messages}, headers=headers)
        return logged(gateway, words, 2)

    one, two = converse("first conversation", "sk-a"), converse("second conversation", "sk-a")
    other = converse("third conversation", "sk-b")
    assert one[0].session_id == one[1].session_id
    assert len({calls[0].session_id for calls in (one, two, other)}) == 3
    assert one[0].agent == two[0].agent != other[0].agent


def test_keys_and_addresses_are_logged_as_pseudonyms_only(gateway):
    ask(gateway, "who am I?", {"authorization": "Bearer sk-verysecret"})
    (call,) = logged(gateway, "who am I?")
    assert "sk-verysecret" not in call.to_json()
    assert "127.0.0.1" not in call.to_json()
    assert set(call.origin) == {"ip", "api_key"}
    assert gateway.upstream.requests[-1].headers["authorization"] == "Bearer sk-verysecret"


def test_query_headers_and_the_clients_credentials_are_passed_on_as_they_came(gateway):
    headers = {"authorization": "Bearer oauth-token", "anthropic-version": "2023-06-01", "anthropic-beta": "tools-1", "x-title": "mine"}
    body = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": "beta?"}]}
    assert httpx2.post(f"{gateway.url}/v1/messages?beta=true", json=body, headers=headers).status_code == 200
    received = gateway.upstream.requests[-1]
    assert {name: received.headers.get(name) for name in headers} == headers
    assert received.query == "beta=true"
    assert "x-api-key" not in received.headers


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/embeddings"])
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"{}", b'{"model": 3}', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused_in_the_apis_form(gateway, path, body):
    answer = httpx2.post(gateway.url + path, content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]
    assert (answer.json().get("type") == "error") == (path == "/v1/messages")


def test_a_path_that_is_not_served_names_those_that_are(gateway):
    answer = httpx2.post(f"{gateway.url}/v1/nothing", json={})
    assert answer.status_code == 404
    assert "/v1/chat/completions" in answer.json()["error"]["message"]


def test_json_that_is_not_strict_is_passed_on_untouched_and_logged(gateway):
    body = b'{"model": "empty", "messages": [{"role": "user", "content": "half a pair \\ud83d here"}]}'
    assert httpx2.post(f"{gateway.url}/v1/chat/completions", content=body).status_code == 200
    (call,) = logged(gateway, "half a pair")
    assert call.request["messages"][0]["content"] == "half a pair ? here"


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 403), ("http://localhost:3000", 200), (None, 200)])
def test_without_api_keys_no_foreign_web_page_may_use_it(gateway, origin, status):
    assert ask(gateway, "from a page", {"origin": origin} if origin else {}).status_code == status
    assert ask(gateway, "rebound", {"host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ({"success": False}, {"success": False}),
        ({"score": 0.25, "comment": "too long"}, {"score": 0.25, "comment": "too long"}),
        ({"correction": "Fine."}, {"correction": {"role": "assistant", "content": "Fine."}}),
    ],
)
def test_feedback_on_a_call_is_its_outcome(gateway, said, outcome):
    words = f"judge me {json.dumps(said)}"
    call_id = ask(gateway, words).headers["x-slm-id"]
    answer = give(gateway, call_id=call_id, **said)
    assert (answer.status_code, answer.json()) == (200, {"object": "feedback", "calls": 1})
    (call,) = [c for c in gateway.calls() if c.id == call_id]
    assert call.outcome == outcome
    assert target_of(call).source == ("correction" if "correction" in said else "teacher")


def test_feedback_on_a_session_reaches_all_its_calls(gateway):
    for words in ("one of a session", "two of a session"):
        ask(gateway, words, {"x-slm-session": "judged session"})
    assert give(gateway, session_id="judged session", success=True).json()["calls"] == 2
    assert [c.outcome for c in gateway.calls() if c.session_id == "judged session"] == [{"success": True}] * 2


@pytest.mark.parametrize(
    ("said", "status", "param"),
    [
        ({"call_id": "call-unknown", "success": True}, 404, "call_id"),
        ({"session_id": "unknown", "success": True}, 404, "session_id"),
        ({"success": True}, 400, None),
        ({"call_id": "c", "session_id": "s", "success": True}, 400, None),
        ({"call_id": "c"}, 400, None),
        ({"call_id": "c", "success": "yes"}, 400, "success"),
        ({"call_id": "c", "score": "9"}, 400, "score"),
        ({"call_id": "c", "correction": ""}, 400, "correction"),
        ({"call_id": "c", "correction": {"role": "assistant"}}, 400, "correction"),
        ({"session_id": "s", "correction": "x"}, 400, None),
        ({"call_id": "c", "succes": True}, 400, "succes"),
    ],
)
def test_feedback_that_cannot_be_booked_says_why(gateway, said, status, param):
    answer = give(gateway, **said)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == param


def test_health_and_metrics(gateway):
    assert httpx2.get(f"{gateway.url}/healthz").json() == {"status": "ok"}
    assert httpx2.get(f"{gateway.url}/readyz").json() == {"status": "ready", "reasons": []}
    before = {name: gateway.metric(name, api="chat") for name in ("slm_calls_total", "slm_overhead_seconds_count")}
    ask(gateway, "count me")
    assert gateway.metric("slm_calls_total", api="chat") == before["slm_calls_total"] + 1
    assert gateway.metric("slm_overhead_seconds_count", api="chat") == before["slm_overhead_seconds_count"] + 1
    assert gateway.metric("slm_log_dropped_total") == 0
    errors = gateway.metric("slm_upstream_errors_total", reason="upstream_500")
    ask(gateway, "count my failure", model="status-500")
    assert gateway.metric("slm_upstream_errors_total", reason="upstream_500") == errors + 2, "the try and its retry"


def test_the_description_names_every_path_that_is_served(gateway):
    described = set(httpx2.get(f"{gateway.url}/openapi.json").json()["paths"])
    message = httpx2.get(f"{gateway.url}/v1/nothing").json()["error"]["message"]
    assert set(re.findall(r"/[\w/.]+\w", message.split("there are")[1])) == described | {"/openapi.json"}
