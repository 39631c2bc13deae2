"""Whatever the upstream does wrong, the client gets an error in its API's form, never a normal end; and the log says why."""

import json

import httpx2
import pytest

from slm_pipeline.records import response_answer, target_of
from slm_pipeline_tests.gateway.logged import assert_failed, assert_left, logged, logged_answer, received
from slm_pipeline_tests.gateway.recorded_upstream import eventually

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
END = {"chat": "data: [DONE]", "messages": "message_stop", "responses": "response.completed"}
ways = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
apis = pytest.mark.parametrize("api", PATHS)


@pytest.fixture(autouse=True)
def nothing_stays_in_flight(gateway):
    yield
    assert eventually(lambda: gateway.upstream.active == 0)


class Outcome:
    """What a client with no library sees of one request."""

    def __init__(self, gateway, api, model, words, stream=False, timeout=30, **more):
        asked = {"input": words} if api == "responses" else {"messages": [{"role": "user", "content": words}]}
        limit = {"max_tokens": 100} if api == "messages" else {}
        body = {"model": model, "stream": stream} | asked | limit | more
        self.api, self.text, self.cut = api, "", False
        with httpx2.stream("POST", gateway.url + PATHS[api], json=body, timeout=timeout) as response:
            self.status, self.headers = response.status_code, response.headers
            try:
                for piece in response.iter_text():
                    self.text += piece
            except (httpx2.RemoteProtocolError, httpx2.ReadError):
                self.cut = True

    @property
    def error(self):
        """The body's error; its form is checked."""
        body = json.loads(self.text)
        if self.api == "messages":
            assert body["type"] == "error"
            assert body["error"].keys() >= {"type", "message"}
        else:
            assert body["error"].keys() >= {"message", "type", "param", "code"}
        assert isinstance(body["error"]["message"], str)
        assert isinstance(body["error"]["type"], str)
        return body["error"]

    @property
    def events(self):
        lines = [line.removeprefix("data:").strip() for line in self.text.splitlines() if line.startswith("data:")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def content(self):
        """The text of a whole or streamed chat completion."""
        if self.text.startswith("data:"):
            return "".join(event["choices"][0]["delta"].get("content") or "" for event in self.events if event["choices"])
        return json.loads(self.text)["choices"][0]["message"]["content"]

    def assert_broken(self):
        """A stream that had begun ended as no good stream does: cut, or with an error event in its API's form."""
        assert END[self.api] not in self.text
        if self.cut:
            return
        last = self.events[-1]
        if self.api == "messages":
            assert last["type"] == "error"
            assert last["error"]["message"]
        elif self.api == "responses":
            assert last["type"] in ("error", "response.failed")
        else:
            assert last["error"].keys() >= {"message", "type", "param", "code"}


@ways
@apis
@pytest.mark.parametrize("status", [400, 401, 429, 500, 503])
def test_the_upstreams_errors_are_passed_on(gateway, api, stream, status):
    words = f"status {status} {api} {stream}"
    outcome = Outcome(gateway, api, f"status-{status}", words, stream)
    assert outcome.status == status
    assert outcome.error["message"] == f"the upstream says {status}"
    assert outcome.headers.get("retry-after") == ("1" if status == 429 else None)
    assert_failed(gateway, words, str(status))


@ways
@apis
def test_an_upstream_that_hangs_is_given_up(gateway, api, stream):
    words = f"hang {api} {stream}"
    outcome = Outcome(gateway, api, "hang", words, stream)
    assert outcome.status == 504
    assert outcome.error["message"]
    assert eventually(lambda: all(request.aborted for request in gateway.upstream.requests if words in str(request.body)))
    assert_failed(gateway, words)


def test_a_whole_answer_that_takes_too_long_is_given_up(gateway):
    outcome = Outcome(gateway, "chat", "slow-stream", "a slow whole answer")
    assert outcome.status == 504
    assert outcome.error["message"]
    assert_failed(gateway, "a slow whole answer")


def test_a_stream_whose_first_token_is_late_is_given_up(gateway):
    outcome = Outcome(gateway, "chat", "slow-first", "a late first token", stream=True)
    assert outcome.status == 504
    assert outcome.error["message"]
    assert_failed(gateway, "a late first token")


@pytest.mark.parametrize(("model", "api"), [("slow-stream", "chat"), *(("stall", api) for api in PATHS)])
def test_a_stream_that_takes_too_long_is_given_up(gateway, model, api):
    words = f"{model} too long {api}"
    outcome = Outcome(gateway, api, model, words, stream=True)
    assert outcome.status == 200
    outcome.assert_broken()
    (request,) = received(gateway, words)
    assert eventually(lambda: request.aborted)
    assert_failed(gateway, words)


@apis
@pytest.mark.parametrize("model", ["break", "error-in-stream"])
def test_a_stream_that_breaks_is_seen_to_break(gateway, api, model):
    words = f"{model} streamed {api}"
    outcome = Outcome(gateway, api, model, words, stream=True)
    assert outcome.status == 200
    outcome.assert_broken()
    assert_failed(gateway, words)


@apis
@pytest.mark.parametrize("model", ["break", "garbage", "error-in-stream"])
def test_an_answer_that_is_none_is_a_bad_gateway(gateway, api, model):
    words = f"{model} whole {api}"
    outcome = Outcome(gateway, api, model, words)
    assert outcome.status == 502
    assert outcome.error["message"]
    assert_failed(gateway, words)


@apis
def test_a_stream_that_is_none_is_a_bad_gateway(gateway, api):
    words = f"garbage streamed {api}"
    outcome = Outcome(gateway, api, "garbage", words, stream=True)
    assert outcome.status == 502
    assert outcome.error["message"]
    assert_failed(gateway, words)


def test_an_upstream_that_cannot_be_reached_is_a_bad_gateway_until_it_is_back(gateway):
    with gateway.upstream.down():
        for api in PATHS:
            for stream in (False, True):
                words = f"nobody listens {api} {stream}"
                outcome = Outcome(gateway, api, "gpt-4o-mini", words, stream)
                assert outcome.status == 502
                assert outcome.error["message"]
                assert_failed(gateway, words)
    assert Outcome(gateway, "chat", "gpt-4o-mini", "it is back").content == "You said: it is back"
    assert logged_answer(gateway, "it is back").text == "You said: it is back"


@ways
@pytest.mark.parametrize("api", ["chat", "messages"])
def test_a_failure_that_passes_is_tried_again(gateway, api, stream):
    words = f"once more {api} {stream}"
    user = {"metadata": {"user_id": words}} if api == "messages" else {"user": words}
    outcome = Outcome(gateway, api, "fail-once", words, stream, **user)
    assert outcome.status == 200
    assert END[api] in outcome.text or not stream
    received(gateway, words, 2)
    (call,) = logged(gateway, words)
    assert response_answer(call.response).text == f"You said: {words}"


def test_a_stream_without_done_is_whole_all_the_same(gateway):
    outcome = Outcome(gateway, "chat", "no-done", "no done", stream=True)
    assert (outcome.status, outcome.cut, outcome.content) == (200, False, "You said: no done")
    assert logged_answer(gateway, "no done").text == "You said: no done"


@ways
def test_an_answer_without_choices_is_passed_on_but_teaches_nothing(gateway, stream):
    words = f"no choices {stream}"
    outcome = Outcome(gateway, "chat", "empty", words, stream)
    assert outcome.status == 200
    assert END["chat"] in outcome.text or not stream
    assert (outcome.events[0] if stream else json.loads(outcome.text))["choices"] == []
    (call,) = logged(gateway, words)
    assert target_of(call) is None


@ways
def test_a_client_that_gives_up_frees_the_upstream(gateway, stream):
    words = f"I give up {stream}"
    with pytest.raises(httpx2.ReadTimeout):
        Outcome(gateway, "chat", "hang", words, stream, timeout=0.5)
    (request,) = received(gateway, words)
    assert eventually(lambda: request.aborted)
    assert_left(gateway, words)
