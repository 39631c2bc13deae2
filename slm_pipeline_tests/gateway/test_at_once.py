"""A task whose streams begin before its answer is verified: the router alone decides, and the client reads while the SLM writes."""

import os
import signal
import threading
import time

import httpx2
import openai
import pytest

from slm_pipeline.s5_finetune.export import adapter_to_gguf
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.s6_refine.release import RELEASE, adapter_files
from slm_pipeline.s6_refine.rollout import Rollout, write_rollout
from slm_pipeline_tests.gateway.recorded_upstream import eventually
from slm_pipeline_tests.gateway.released import engine_of, newest, post, request, rewritten
from slm_pipeline_tests.tiny import NAME
from slm_pipeline_tests.tiny_architectures import make_tiny_adapter


@pytest.fixture(scope="module")
def talker(released, tmp_path_factory):
    """Another adapter of the group, by its digest: it has learned nothing, and so writes whatever comes to it."""
    gateway, lake, release = released
    facts = lake.version(RELEASE, None, release).json("release")
    (group,) = facts["groups"]
    base = gateway.settings.models / NAME
    folder = make_tiny_adapter(base, tmp_path_factory.mktemp("talker"), "lora")
    adapter_to_gguf(folder, base, folder / "adapter.gguf")
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    training = adapter_files(facts, group, lake).json("training")
    return lake.write(ADAPTER, group, files | {"training": training}, keep_old=True).digest


def begun_at_once(served, adapter, threshold):
    """The release with this adapter, whose task answers in text, at once from a chance of `threshold` on, in service."""
    gateway, lake, release = served
    written = lake.version(RELEASE, None, release)
    facts = written.json("release")
    for of in facts["groups"].values():
        of["adapter"] = adapter
        for task in of["tasks"].values():
            task |= {"at_once": True, "schema": None, "threshold": threshold}
    name = rewritten(lake, written, {"release": facts})
    write_rollout(lake, Rollout(serving=name))
    return gateway, name


@pytest.fixture
def at_once(served, talker):
    gateway, name = begun_at_once(served, talker, 0.0)
    assert eventually(lambda: post(gateway, request()).headers["x-slm-route"] == "slm" and newest(gateway).route.release == name, 60)
    return gateway


def test_a_stream_comes_piece_by_piece_and_says_what_the_whole_answer_says(at_once):
    client = openai.OpenAI(base_url=f"{at_once.url}/v1", api_key="none")
    whole = client.chat.completions.create(**request())
    chunks = list(client.chat.completions.create(**request(), stream=True, stream_options={"include_usage": True}))
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert len(said) > 10
    assert "".join(said).strip() == whole.choices[0].message.content.strip()
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 0
    logged = newest(at_once)
    assert (logged.route.served_by, logged.route.reason) == ("slm", "certified")
    assert logged.response["choices"][0]["message"]["content"].strip() == "".join(said).strip()
    assert [attempt.samples for attempt in logged.route.attempts if attempt.role == "slm"] == [1]


def test_the_first_piece_comes_long_before_the_last(at_once):
    times = []
    with httpx2.stream("POST", f"{at_once.url}/v1/chat/completions", json=request(stream=True), timeout=60) as answer:
        assert answer.headers["x-slm-route"] == "slm"
        for line in answer.iter_lines():
            if line.startswith("data: "):
                times.append(time.perf_counter())
    assert len(times) > 10
    assert times[1] - times[0] < (times[-1] - times[0]) / 2


def test_where_the_chance_is_too_small_the_llm_answers(served, talker):
    gateway, name = begun_at_once(served, talker, 1.1)
    assert eventually(lambda: post(gateway, request()).headers["x-slm-route"] == "llm" and newest(gateway).route.release == name, 60)
    assert newest(gateway).route.reason == "unlikely"


def test_an_engine_that_dies_in_the_midst_breaks_the_stream_off(at_once):
    read = []
    with httpx2.stream("POST", f"{at_once.url}/v1/chat/completions", json=request(stream=True), timeout=60) as answer:
        lines = answer.iter_lines()
        read.append(next(line for line in lines if line))
        os.kill(engine_of(at_once), signal.SIGKILL)
        try:
            read.extend(line for line in lines if line)
            ended = True
        except httpx2.RemoteProtocolError:
            ended = False
    assert ended == (read[-1] == "data: [DONE]"), "a stream that broke off looks like one that ended"
    logged = newest(at_once)
    assert logged.failed == (not ended)
    assert ended or logged.response["error"]["code"] == "broken_stream"


def test_a_client_that_leaves_in_the_midst_leaves_an_engine_that_goes_on(at_once):
    with httpx2.stream("POST", f"{at_once.url}/v1/chat/completions", json=request(stream=True), timeout=60) as answer:
        next(answer.iter_lines())
    threading.Event().wait(0.2)
    assert eventually(lambda: post(at_once, request()).headers["x-slm-route"] == "slm", 60)
