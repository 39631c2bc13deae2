"""Releases come and go while the gateway answers: nothing is lost, the canary gets its share, and a bad one goes by itself."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial

import httpx2
from scipy.stats import binomtest

from slm_pipeline.resources.slm_server import served_name
from slm_pipeline.s6_refine.release import RELEASE, adapter_files
from slm_pipeline.s6_refine.rollout import Rollout, read_rollout, write_rollout
from slm_pipeline_tests.gateway.conftest import free_port, running_gateway
from slm_pipeline_tests.gateway.recorded_upstream import eventually
from slm_pipeline_tests.gateway.released import lines, newest, post, request, rewritten, until_served
from slm_pipeline_tests.llama_server import KEY, llama_server
from slm_pipeline_tests.tiny import NAME

ADAPTER = "s5_finetune/adapter"
TRAFFIC = lines()


def with_group(lake, release, **changes):
    """The same release with other facts of its group."""
    written = lake.version(RELEASE, None, release)
    facts = written.json("release")
    (group,) = facts["groups"]
    facts["groups"][group] |= changes
    return rewritten(lake, written, {"release": facts})


def with_adapter(lake, release, files):
    """The same release with another adapter, of the same files but for `files`: another engine."""
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    adapter = adapter_files(facts, group, lake)
    kept = {name: adapter.json("training") if name == "training.json" else adapter.bytes(name) for name in adapter.files}
    kept = {name.removesuffix(".json") if name == "training.json" else name: content for name, content in kept.items()}
    kept["training"] |= {"note": sorted(files)}
    return with_group(lake, release, adapter=lake.write(ADAPTER, group, kept | files, keep_old=True).digest)


@contextmanager
def clients(gateway, n=2):
    """So many clients that ask without a pause; their answers, in the end."""
    answers, over = [], threading.Event()

    def ask(client):
        number = 0
        while not over.is_set():
            number += 1
            answers.append(post(gateway, usual(client + number)))

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def usual(number):
    """A call like those that the release was made from: others would be taken for drift."""
    return json.loads(TRAFFIC[number % len(TRAFFIC)])["request"]


def beside(gateway, **variables):
    """Another gateway over the same home, with other settings."""
    state = {"SLM_DAGSTER_HOME": str(gateway.settings.dagster_home), "SLM_KEYS": str(gateway.settings.keys)}
    return running_gateway(gateway.settings.home, gateway.upstream, **state, **variables)


def until(found):
    assert eventually(found, seconds=60)


def until_answered_by(gateway, release):
    until(lambda: post(gateway, request()).headers["x-slm-route"] == "slm" and newest(gateway).route.release == release)


def test_while_releases_change_under_load_every_request_is_answered_and_logged(served):
    gateway, lake, release = served
    other = with_adapter(lake, release, {"note.txt": b"another engine"})
    before = len(gateway.calls())
    with clients(gateway) as answers:
        for name in (other, release):
            write_rollout(lake, Rollout(serving=name, previous=read_rollout(lake).serving))
            for engines in (2, 1):  # the new one's beside the old one's, then alone
                until(lambda engines=engines: gateway.metric("slm_engines_ready") == engines)
            so_far = len(answers)
            until(lambda so_far=so_far: sum(answer.headers["x-slm-route"] == "slm" for answer in answers[so_far:]) > 2)
    assert Counter(answer.status_code for answer in answers) == {200: len(answers)}
    logged = gateway.calls()[before:]
    assert len(logged) == len(answers)
    reasons = Counter(call.route.reason for call in logged)
    assert "slm_loading" not in reasons, "the old release goes on until the new one's engine runs"
    assert {call.route.release for call in logged if call.route.served_by == "slm"} == {other, release}


def test_a_release_whose_engine_cannot_start_leaves_the_old_one_in_service(served):
    gateway, lake, release = served
    broken = with_adapter(lake, release, {"adapter.gguf": b"GGUF is not this"})
    write_rollout(lake, Rollout(serving=broken, previous=release))
    until(lambda: "cannot be started" in (gateway.settings.home / "gateway.out").read_text())
    for _ in range(5):
        assert post(gateway, request()).headers["x-slm-route"] == "slm"
    assert newest(gateway).route.release == release


def test_the_canary_gets_its_share(served):
    gateway, lake, release = served
    candidate = with_group(lake, release, note="the same again")
    write_rollout(lake, Rollout().offered(release).promoted().promoted().offered(candidate).promoted())
    until_answered_by(gateway, candidate)
    before = len(gateway.calls())
    for i in range(150):
        post(gateway, usual(i))
    by = Counter(call.route.release for call in gateway.calls()[before:])
    assert by.keys() == {release, candidate}
    interval = binomtest(by[candidate], 150).proportion_ci(0.999)
    assert interval.low <= gateway.settings.trial_share <= interval.high


def test_a_release_that_audits_gainsay_is_rolled_back_within_200_served_calls(served):
    """Its certificate says that it hardly ever differs from the LLM; it always does."""
    gateway, lake, release = served
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    certificates = facts["groups"][group]["certificates"]
    bad = with_group(lake, release, certificates={unit: of | {"disagrees": 0.02} for unit, of in certificates.items()})
    good = lake.version(RELEASE, None, release)
    content = {name: good.bytes(name) for name in good.files}
    write_rollout(lake, Rollout(serving=bad, previous=release))
    with beside(gateway, SLM_AUDIT_SHARE="0.02") as auditing:
        until_answered_by(auditing, bad)
        served_by_it = 0
        while read_rollout(lake).serving == bad:
            post(auditing, usual(served_by_it))
            served_by_it += 1
            assert served_by_it <= 200
    rollout = read_rollout(lake)
    assert rollout.serving == release
    assert "failed audits" in rollout.history[-1]["reason"]
    again = lake.version(RELEASE, None, rollout.serving)
    assert {name: again.bytes(name) for name in again.files} == content
    until_answered_by(gateway, release)


def test_neither_audits_nor_drift_gainsay_a_checker_that_knows_what_is_right(served):
    gateway, lake, release = served
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    check = ["any.py", "GOLD = True\n\n\ndef check(messages, answer):\n    return True\n"]
    tasks = {task: of | {"gold": True, "checker": check, "threshold": None} for task, of in facts["groups"][group]["tasks"].items()}
    checked = with_group(lake, release, tasks=tasks, gold=list(tasks), certificates={}, strangeness=[0.0] * 200)
    write_rollout(lake, Rollout(serving=checked, previous=release))
    with beside(gateway, SLM_AUDIT_SHARE="1") as auditing:
        until_answered_by(auditing, checked)
        for i in range(40):
            post(auditing, usual(i))
        (audit,) = [attempt for attempt in newest(auditing).route.attempts if attempt.reason == "audit"]
    assert audit.agrees is False
    assert (read_rollout(lake).serving, read_rollout(lake).withdrawn) == (checked, {})


def in_session(gateway, session):
    """A call of that session; why it was answered by whom it was."""
    answer = httpx2.post(f"{gateway.url}/v1/chat/completions", json=request(), headers={"x-slm-session": session}, timeout=60)
    return answer.headers["x-slm-route"], newest(gateway).route.reason


def test_traffic_that_changes_withdraws_the_certificate_and_a_long_session_alone_does_not(served):
    """The release has only seen calls that are less strange than any that come."""
    gateway, lake, release = served
    (group,) = lake.version(RELEASE, None, release).json("release")["groups"]
    sheltered = with_group(lake, release, strangeness=[0.0] * 200)
    write_rollout(lake, Rollout(serving=sheltered, previous=release))
    until(lambda: in_session(gateway, "long")[0] == "slm" and newest(gateway).route.release == sheltered)
    assert {in_session(gateway, "long") for _ in range(30)} == {("slm", "certified")}
    answers = [in_session(gateway, f"session {i}") for i in range(30)]
    assert answers[0] == ("slm", "certified")
    assert answers[-1] == ("llm", "withdrawn")
    rollout = read_rollout(lake)
    assert (rollout.serving, list(rollout.withdrawn)) == (sheltered, [group])
    assert "drift" in rollout.history[-1]["reason"]


def test_an_slm_server_answers_and_while_it_is_away_the_llm_does(served, monkeypatch):
    gateway, lake, release = served
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    adapter = adapter_files(facts, group, lake)
    alias = served_name(group, facts["groups"][group]["adapter"])
    start = partial(llama_server, gateway.settings.models / NAME / "model.gguf", adapter.local() / "adapter.gguf", alias, 1300)
    monkeypatch.setenv("TEST_SLM_KEY", KEY)
    port = free_port()
    url = f"http://127.0.0.1:{port}/v1"
    write_rollout(lake, Rollout(serving=with_group(lake, release, server=url)))
    servers = json.dumps([{"base_url": url, "api_key_env": "TEST_SLM_KEY"}])
    with beside(gateway, SLM_SLM_SERVERS=servers) as other:
        with start(port=port):
            until_served(other)
            assert newest(other).route.reason == "certified"
            assert post(gateway, request()).headers["x-slm-route"] == "llm", "the promise is about the server's answers"
            assert newest(gateway).route.reason == "engine_changed"
        answers = [post(other, request()) for _ in range(3)]
        assert {(answer.status_code, answer.headers["x-slm-route"]) for answer in answers} == {(200, "llm")}
        assert newest(other).route.reason in ("slm_died", "slm_failed", "slm_loading")
        with start(port=port):
            until_served(other)


def test_what_was_drawn_uniformly_has_the_llms_answer_whoever_served(served):
    gateway, *_ = served
    with beside(gateway, SLM_AUDIT_SHARE="1") as other:
        until_served(other)
        post(other, request(n=2))
        until(lambda: newest(other).route.reason == "unsupported_n")
        by_slm, by_llm = [[call for call in other.calls() if call.route and call.route.served_by == who][-1] for who in ("slm", "llm")]
    assert by_slm.route.sampled
    assert by_llm.route.sampled
    assert [attempt.reason for attempt in by_slm.route.attempts if attempt.role == "teacher"] == ["audit"]
