"""Anthropic's client and an agent library, unmodified, with the gateway as their base URL; and what stands in the log afterwards."""

import json

import anthropic
import httpx2
import pytest
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from slm_pipeline.records import ToolCall, response_answer
from slm_pipeline_tests.gateway.logged import (
    FRAME,
    PICTURE,
    STREAM,
    TOOLS,
    assert_failed,
    assert_left,
    logged,
    logged_answer,
    received,
    substance,
    user,
)
from slm_pipeline_tests.gateway.recorded_upstream import eventually

CLAUDE = {"model": "claude-sonnet-4-5", "max_tokens": 1000}
CLAUDE_TOOLS = [{"name": t["function"]["name"], "input_schema": t["function"]["parameters"]} for t in TOOLS]


@pytest.fixture(scope="module")
def claude(gateway):
    with anthropic.Anthropic(base_url=gateway.url, api_key="sk-ant-test", max_retries=0, timeout=30) as client:
        yield client


def test_anthropic_answers_whole_and_is_logged(claude, gateway):
    message = claude.messages.create(**CLAUDE, system="Be brief.", messages=user("Hallo Claude, schöner Tag"))
    assert message.content[0].text == "You said: Hallo Claude, schöner Tag"
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0
    assert received(gateway, "Hallo Claude")[0].body["system"] == "Be brief."
    assert logged_answer(gateway, "Hallo Claude").text == message.content[0].text


def test_anthropic_counts_tokens_and_nothing_is_logged(claude, gateway):
    calls = len(gateway.calls())
    messages = [{"role": "user", "content": "How long is this?"}]
    assert claude.messages.count_tokens(model="claude-test", messages=messages).input_tokens == len(json.dumps(messages))
    assert gateway.upstream.requests[-1].headers["authorization"] == "Bearer sk-ant-test"
    with pytest.raises(anthropic.RateLimitError):
        claude.messages.count_tokens(model="status-429", messages=messages)
    assert len(gateway.calls()) == calls


def test_anthropic_streams(claude, gateway):
    with claude.messages.stream(**CLAUDE, messages=user("Claude im Strom 🌊")) as stream:
        pieces = list(stream.text_stream)
        final = stream.get_final_message()
    assert len(pieces) > 5
    assert "".join(pieces) == final.content[0].text == "You said: Claude im Strom 🌊"
    assert final.usage.output_tokens > 1
    assert logged_answer(gateway, "Claude im Strom").text == "You said: Claude im Strom 🌊"


def test_anthropic_tools_are_called_in_parallel_and_answered(claude, gateway):
    words = "Wind, Claude?"
    with claude.messages.stream(**CLAUDE, messages=user(words), tools=CLAUDE_TOOLS) as stream:
        first = stream.get_final_message()
    uses = [block for block in first.content if block.type == "tool_use"]
    expected = [("weather", {"city": words}), ("news", {"topic": words, "day": words})]
    assert [(use.name, use.input) for use in uses] == expected
    assert logged_answer(gateway, words).tool_calls == tuple(ToolCall(*call) for call in expected)
    results = [{"type": "tool_result", "tool_use_id": use.id, "content": f"{use.name}: none"} for use in uses]
    turns = [*user(words), {"role": "assistant", "content": first.to_dict()["content"]}, {"role": "user", "content": results}]
    second = claude.messages.create(**CLAUDE, messages=turns, tools=CLAUDE_TOOLS)
    assert second.content[0].text == "The tools answered: weather: none; news: none"
    asked, answered = logged(gateway, words, 2)
    assert response_answer(answered.response).text == second.content[0].text
    assert answered.session_id == asked.session_id


@pytest.mark.parametrize("tools", [[], CLAUDE_TOOLS], ids=["text", "tools"])
def test_anthropic_streamed_and_whole_answers_give_the_same_record(claude, gateway, tools):
    words = f"Claude, the same both ways, {len(tools)} tools."
    claude.messages.create(**CLAUDE, messages=user(words), tools=tools)
    (whole,) = logged(gateway, words)
    list(claude.messages.create(**CLAUDE, messages=user(words), tools=tools, stream=True))
    streamed = logged(gateway, words, 2)[1]
    assert substance(streamed.request, STREAM) == substance(whole.request, STREAM)
    assert substance(streamed.response, FRAME) == substance(whole.response, FRAME)


def test_anthropic_pictures_go_through_untouched(claude, gateway):
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE.partition(",")[2]}
    parts = [{"type": "image", "source": source}, {"type": "text", "text": "Claude, what is on it?"}]
    message = claude.messages.create(**CLAUDE, messages=[{"role": "user", "content": parts}])
    assert message.content[0].text == "You said: [image] Claude, what is on it?"
    assert received(gateway, "Claude, what is on it?")[0].body["messages"][0]["content"] == parts


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
    ],
)
def test_anthropic_errors_are_the_clients_own(claude, gateway, status, error):
    words = f"Claude, an error {status}"
    with pytest.raises(error, match=f"the upstream says {status}"):
        claude.messages.create(model=f"status-{status}", max_tokens=10, messages=user(words))
    assert_failed(gateway, words, str(status))


@pytest.mark.parametrize("model", ["break", "error-in-stream"])
def test_anthropic_stream_that_breaks_is_no_normal_end(claude, gateway, model):
    words = f"Claude, an end too early: {model}"
    stream = claude.messages.create(model=model, max_tokens=10, messages=user(words), stream=True)
    with pytest.raises((anthropic.APIError, httpx2.TransportError)):  # the client hands a cut connection's error on as it is
        list(stream)
    assert_failed(gateway, words)


def test_anthropic_client_that_leaves_is_followed_by_the_gateway(claude, gateway):
    stream = claude.messages.create(model="slow-stream", max_tokens=10, messages=user("Claude, I leave"), stream=True)
    next(stream)
    stream.close()
    (request,) = received(gateway, "Claude, I leave")
    assert eventually(lambda: request.aborted)
    assert_left(gateway, "Claude, I leave")


class Trip(BaseModel):
    place: str
    days: int


@pytest.fixture
def model(gateway):
    client = AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-test", max_retries=0)
    return OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))


def weather_agent(model):
    agent, asked = Agent(model, instructions="You tell the weather."), []

    @agent.tool_plain
    def weather(city: str) -> str:
        """The weather of today."""
        asked.append(city)
        return f"rain in {city}"

    return agent, asked


def test_an_agent_runs_its_tool_loop(model, gateway):
    agent, asked = weather_agent(model)
    words = "an agent in Bonn"
    assert agent.run_sync(words).output == f"The tools answered: rain in {words}"
    assert asked == [words]
    first, second = logged(gateway, words, 2)
    assert response_answer(first.response).tool_calls == (ToolCall("weather", {"city": words}),)
    assert response_answer(second.response).text == f"The tools answered: rain in {words}"
    assert second.request["messages"][-1]["content"] == f"rain in {words}"
    assert first.session_id == second.session_id


def test_an_agent_streams_its_tool_loop(model, gateway):
    agent, asked = weather_agent(model)
    words = "a streaming agent in Köln"
    result = agent.run_stream_sync(words)
    assert result.get_output() == f"The tools answered: rain in {words}"
    assert asked == [words]
    first, second = logged(gateway, words, 2)
    assert response_answer(first.response).tool_calls == (ToolCall("weather", {"city": words}),)
    assert response_answer(second.response).text == f"The tools answered: rain in {words}"


def test_an_agent_gets_structured_output(model, gateway):
    agent = Agent(model, output_type=NativeOutput(Trip))
    assert agent.run_sync("a trip to Rome").output == Trip(place="a trip to Rome", days=3)
    assert Trip.model_validate_json(logged_answer(gateway, "a trip to Rome").text) == Trip(place="a trip to Rome", days=3)
