"""The official OpenAI client for Node, unmodified, with the gateway as its base URL; and what stands in the log afterwards."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from slm_pipeline.records import ToolCall, response_answer
from slm_pipeline_tests.gateway.logged import assert_failed, assert_left, logged, logged_answer, received
from slm_pipeline_tests.gateway.recorded_upstream import eventually

FOLDER = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def seen(gateway):
    """What the client saw, by scenario."""
    if shutil.which("node") is None:
        pytest.skip("THE NODE CLIENT IS NOT TESTED: there is no `node` on the PATH. Install Node 20 or newer.")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        pytest.skip(f"THE NODE CLIENT IS NOT TESTED: its package is not installed. Run: npm ci --prefix {FOLDER}")
    run = subprocess.run(["node", FOLDER / "client.mjs", gateway.url], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return {line.pop("scenario"): line for line in map(json.loads, run.stdout.splitlines())}


def test_answers_whole_and_streamed(seen, gateway):
    assert seen["whole"]["text"] == "You said: node: whole, schöner Tag"
    assert seen["streamed"]["text"] == "You said: node: streamed 👩‍👩‍👧"
    assert seen["streamed"]["chunks"] > 5
    assert logged_answer(gateway, "node: whole").text == seen["whole"]["text"]
    assert logged_answer(gateway, "node: streamed").text == seen["streamed"]["text"]
    assert logged(gateway, "node: whole")[0].response["usage"]["total_tokens"] == seen["whole"]["total"]
    assert logged(gateway, "node: streamed")[0].response["usage"]["total_tokens"] == seen["streamed"]["total"]


@pytest.mark.parametrize(("scenario", "words"), [("tools", "node: tools"), ("streamed_tools", "node: tool stream")])
def test_tools_are_called_in_parallel(seen, gateway, scenario, words):
    assert seen[scenario]["calls"] == [["weather", {"city": words}], ["news", {"topic": words}]]
    assert logged_answer(gateway, words).tool_calls == (ToolCall("weather", {"city": words}), ToolCall("news", {"topic": words}))


def test_the_clients_own_tool_loop(seen, gateway):
    assert seen["tool_loop"] == {"text": "The tools answered: rain", "asked": ["node: loop"]}
    first, second = logged(gateway, "node: loop", 2)
    assert response_answer(first.response).tool_calls == (ToolCall("weather", {"city": "node: loop"}),)
    assert response_answer(second.response).text == "The tools answered: rain"


def test_structured_output_choices_and_pictures(seen, gateway):
    assert seen["structured"]["value"] == {"name": "node: structured", "age": 3}
    assert json.loads(logged_answer(gateway, "node: structured").text) == seen["structured"]["value"]
    assert (
        seen["choices_and_logprobs"]["texts"]
        == seen["choices_and_logprobs"]["tokens"]
        == ["You said: node: twice", "You said: node: twice (2)"]
    )
    choices = logged(gateway, "node: twice")[0].response["choices"]
    assert [choice["message"]["content"] for choice in choices] == seen["choices_and_logprobs"]["texts"]
    assert seen["picture"]["text"] == "You said: node: picture [image_url]"
    assert logged_answer(gateway, "node: picture").text == seen["picture"]["text"]


def test_embeddings_and_models(seen):
    assert seen["embeddings"]["sizes"] == [6, 6]
    assert "gpt-4o-mini" in seen["models"]["names"]


def test_responses_api(seen, gateway):
    assert seen["response"]["text"] == "You said: node: response"
    assert seen["streamed_response"] == {
        "text": "You said: node: response stream",
        "first": "response.created",
        "last": "response.completed",
    }
    assert logged_answer(gateway, "node: response stream").text == "You said: node: response stream"


@pytest.mark.parametrize(("status", "error"), [(400, "BadRequestError"), (429, "RateLimitError"), (500, "InternalServerError")])
def test_errors_are_the_clients_own(seen, gateway, status, error):
    assert seen[f"error_{status}"] == {"error": error, "status": status, "message": f"{status} the upstream says {status}"}
    assert_failed(gateway, f"node: {status}", str(status))


@pytest.mark.parametrize(("scenario", "words"), [("broken_stream", "node: broken"), ("error_in_stream", "node: error inside")])
def test_a_stream_that_breaks_is_no_normal_end(seen, gateway, scenario, words):
    assert "error" in seen[scenario]
    assert_failed(gateway, words)


def test_a_client_that_leaves_is_followed_by_the_gateway(seen, gateway):
    assert seen["abort"]["chunks"] < 50
    (request,) = received(gateway, "node: abort")
    assert eventually(lambda: request.aborted)
    assert_left(gateway, "node: abort")
