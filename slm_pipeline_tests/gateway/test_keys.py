"""The gateway with API keys: who may do what, budgets, and keys that come and go while it runs."""

import httpx2
import pytest

from slm_pipeline.s1_collect import api_keys
from slm_pipeline.s1_collect.api_keys import KeyRole
from slm_pipeline.s1_collect.database import Database
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline_tests.gateway.conftest import free_port, running_gateway
from slm_pipeline_tests.gateway.logged import logged
from slm_pipeline_tests.gateway.recorded_upstream import eventually, recorded_upstream


@pytest.fixture(scope="module")
def keyed(tmp_path_factory):
    """A gateway with a key of each role, one of them with a small budget."""
    with recorded_upstream() as upstream, running_gateway(tmp_path_factory.mktemp("keyed"), upstream) as running:
        database = Database(running.settings, Role.ADMIN)
        roles = {"agent": KeyRole.AGENT, "stranger": KeyRole.AGENT, "monitor": KeyRole.MONITOR, "admin": KeyRole.ADMIN}
        running.keys = {name: api_keys.add(database, f"client of {name}", role) for name, role in roles.items()}
        running.keys["frugal"] = api_keys.add(database, "frugal", KeyRole.AGENT, agent="named by its key", tokens_per_day=5)
        assert eventually(lambda: ask(running, "none", "are keys asked for?").status_code == 401, 30)
        yield running


def bearer(gateway, who):
    return {"authorization": f"Bearer {gateway.keys.get(who, who)}"} if who != "none" else {}


def ask(gateway, who, words, **headers):
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": words}]}
    return httpx2.post(f"{gateway.url}/v1/chat/completions", json=body, headers=bearer(gateway, who) | headers)


REQUESTS = {
    "call": lambda url, headers: httpx2.post(
        f"{url}/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": "hi"}]}, headers=headers
    ),
    "messages": lambda url, headers: httpx2.post(
        f"{url}/v1/messages", json={"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}, headers=headers
    ),
    "models": lambda url, headers: httpx2.get(f"{url}/v1/models", headers=headers),
    "feedback": lambda url, headers: httpx2.post(f"{url}/v1/feedback", json={"session_id": "none", "success": True}, headers=headers),
    "metrics": lambda url, headers: httpx2.get(f"{url}/metrics", headers=headers),
    "healthz": lambda url, headers: httpx2.get(f"{url}/healthz", headers=headers),
    "readyz": lambda url, headers: httpx2.get(f"{url}/readyz", headers=headers),
}
OPEN = {"healthz", "readyz"}
MAY = {
    "agent": {"call", "messages", "models", "feedback"},
    "monitor": {"metrics"},
    "admin": set(REQUESTS),
    "none": set(),
    "slm-wrong": set(),
}


@pytest.mark.parametrize("what", REQUESTS)
@pytest.mark.parametrize("who", MAY)
def test_every_role_may_do_its_own_and_nothing_else(keyed, who, what):
    status = REQUESTS[what](keyed.url, bearer(keyed, who)).status_code
    if what in MAY[who] | OPEN:
        assert status == (404 if what == "feedback" else 200)
    else:
        assert status == (403 if who in keyed.keys else 401)


def test_a_key_of_ours_does_not_reach_the_upstream(keyed):
    ask(keyed, "agent", "whose key?")
    headers = keyed.upstream.requests[-1].headers
    assert keyed.keys["agent"] not in str(headers)


def test_feedback_is_for_ones_own_calls_and_for_admins(keyed):
    call_id = ask(keyed, "agent", "whose call?").headers["x-slm-id"]

    def give(who):
        body = {"call_id": call_id, "success": False}
        return httpx2.post(f"{keyed.url}/v1/feedback", json=body, headers=bearer(keyed, who)).status_code

    assert [give(who) for who in ("stranger", "agent", "admin")] == [404, 200, 200]


def test_a_budget_ends_at_its_tokens_and_says_so(keyed):
    statuses = [ask(keyed, "frugal", f"spend {n}").status_code for n in range(4)]
    assert statuses[0] == 200
    assert statuses[-1] == 429
    refused = ask(keyed, "frugal", "spend more")
    assert refused.json()["error"]["code"] == "budget_exceeded"
    assert ask(keyed, "agent", "others go on").status_code == 200


def test_a_budget_outlives_the_gateway(keyed, tmp_path):
    ask(keyed, "frugal", "spend")
    keyed.calls()
    home = str(keyed.settings.home)
    with running_gateway(tmp_path, keyed.upstream, SLM_HOME=home) as again:
        again.keys = keyed.keys
        assert ask(again, "frugal", "is it forgotten?").status_code == 429


def test_the_agent_is_named_by_header_or_key(keyed):
    ask(keyed, "agent", "a name of its own", **{"x-slm-agent": "the planner"})
    ask(keyed, "agent", "no name at all")
    (named,), (unnamed,) = logged(keyed, "a name of its own"), logged(keyed, "no name at all")
    assert named.agent == "the planner"
    assert unnamed.agent.startswith("agent-")
    assert named.client_id == unnamed.client_id == "client of agent"
    by_key = [call for call in keyed.calls() if call.client_id == "frugal"]
    assert {call.agent for call in by_key} == {"named by its key"}


def test_a_removed_key_is_refused_within_seconds(keyed):
    database = Database(keyed.settings, Role.ADMIN)
    keyed.keys["gone"] = api_keys.add(database, "gone", KeyRole.AGENT)
    assert eventually(lambda: ask(keyed, "gone", "hello").status_code == 200, 30)
    assert api_keys.remove(database, keyed.keys["gone"]) == 1
    assert eventually(lambda: ask(keyed, "gone", "still here?").status_code == 401, 30)


def test_it_serves_no_other_machine_without_keys(tmp_path):
    import os
    import subprocess
    import sys

    variables = {"SLM_HOME": str(tmp_path), "SLM_GATEWAY_HOST": "0.0.0.0", "SLM_GATEWAY_PORT": str(free_port())}
    done = subprocess.run(
        [sys.executable, "-m", "slm_pipeline.cli", "serve"], env=os.environ | variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "slm keys add" in done.stderr
