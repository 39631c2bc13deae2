"""Several upstreams: which is asked, with which key and name, and who answers when one does not."""

import json

import httpx2
import pytest

from slm_pipeline_tests.gateway.conftest import free_port, running_gateway
from slm_pipeline_tests.gateway.logged import logged
from slm_pipeline_tests.gateway.recorded_upstream import recorded_upstream


@pytest.fixture(scope="module")
def servers():
    with recorded_upstream() as first, recorded_upstream() as second:
        yield first, second


@pytest.fixture(scope="module")
def routed(tmp_path_factory, servers):
    """A gateway with a key of its own for the first upstream, another name for models at the second, and one that is never there."""
    first, second = servers
    fast = {"connect_seconds": 1, "first_token_seconds": 1.5, "total_seconds": 3}
    upstreams = [
        {"name": "gone", "base_url": f"http://127.0.0.1:{free_port()}/v1", "models": ["gone-*", "nowhere"], "retries": 1, **fast},
        {
            "name": "first",
            "base_url": f"{first.url}/v1",
            "models": ["gpt-*", "gone-*", "status-*", "hang"],
            "api_key_env": "FIRST_KEY",
            **fast,
        },
        {"name": "second", "base_url": f"{second.url}/v1", "models": ["llama-*", "status-*", "hang"], "rename": "tiny-llama", **fast},
    ]
    environment = {"SLM_UPSTREAMS": json.dumps(upstreams), "FIRST_KEY": "sk-of-the-operator"}
    with running_gateway(tmp_path_factory.mktemp("routed"), first, **environment) as gateway:
        yield gateway


def ask(gateway, model, words, **more):
    body = {"model": model, "messages": [{"role": "user", "content": words}], **more}
    headers = {"authorization": "Bearer sk-of-the-client"}
    return httpx2.post(f"{gateway.url}/v1/chat/completions", json=body, headers=headers, timeout=30)


def asked(server, words):
    return [r for r in server.requests if words in json.dumps(r.body)]


def tries(gateway, words):
    (call,) = logged(gateway, words)
    return [(attempt.upstream, attempt.verdict, attempt.reason) for attempt in call.route.attempts]


def test_the_first_that_serves_a_model_is_asked_with_its_own_key(routed, servers):
    assert ask(routed, "gpt-4o", "to the first").status_code == 200
    (request,) = asked(servers[0], "to the first")
    assert request.headers["authorization"] == "Bearer sk-of-the-operator"
    assert not asked(servers[1], "to the first")


def test_without_a_key_of_its_own_the_clients_is_passed_on_and_models_may_have_another_name(routed, servers):
    assert ask(routed, "llama-8b", "to the second").status_code == 200
    (request,) = asked(servers[1], "to the second")
    assert request.headers["authorization"] == "Bearer sk-of-the-client"
    assert request.body["model"] == "tiny-llama"
    (call,) = logged(routed, "to the second")
    assert call.request["model"] == "llama-8b"


def test_a_model_that_nobody_serves_is_not_found(routed):
    answer = ask(routed, "mistral", "to nobody")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_who_cannot_be_reached_is_tried_again_and_then_the_next(routed, servers, stream):
    words = f"fall back {stream}"
    assert ask(routed, "gone-1", words, stream=stream).status_code == 200
    assert len(asked(servers[0], words)) == 1
    assert [upstream for upstream, _, _ in tries(routed, words)] == ["gone", "gone", "first"]
    assert [verdict for _, verdict, _ in tries(routed, words)] == ["error", "error", "accepted"]


@pytest.mark.parametrize(
    ("model", "before"), [("status-503", 2), ("status-500", 2), ("status-429", 1), ("status-401", 1), ("status-404", 1)]
)
def test_what_may_pass_elsewhere_goes_to_the_next(routed, servers, model, before):
    # the second answers, for there the model has another name
    assert ask(routed, model, f"elsewhere {model}").status_code == 200
    assert len(asked(servers[0], f"elsewhere {model}")) == before
    assert len(asked(servers[1], f"elsewhere {model}")) == 1


def test_what_is_the_requests_own_fault_goes_nowhere_else(routed, servers):
    assert ask(routed, "status-400", "my own fault").status_code == 400
    assert not asked(servers[1], "my own fault")


def test_who_is_too_slow_is_not_waited_for_twice(routed, servers):
    assert ask(routed, "hang", "too slow", stream=True).status_code == 200
    assert tries(routed, "too slow")[0] == ("first", "error", "timeout_first_token")
    assert len(asked(servers[0], "too slow")) == len(asked(servers[1], "too slow")) == 1


def test_when_nobody_is_left_the_last_word_is_passed_on(routed):
    answer = ask(routed, "nowhere", "nobody left")
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_unreachable")
    (call,) = logged(routed, "nobody left")
    assert call.failed
    assert call.status == 502


def test_the_models_of_all_are_listed(routed):
    names = [model["id"] for model in httpx2.get(f"{routed.url}/v1/models").json()["data"]]
    assert len(names) == 2 * len(set(names)), "both upstreams list the same; the one that is gone is left out"
