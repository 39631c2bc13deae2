"""The official OpenAI client for Python, unmodified, with the gateway as its base URL; and what stands in the log afterwards."""

import asyncio
import json
from typing import Literal

import openai
import pytest
from pydantic import BaseModel

from slm_pipeline.records import ToolCall, response_answer, target_of
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
    tool,
    user,
)
from slm_pipeline_tests.gateway.recorded_upstream import eventually


@pytest.fixture(scope="module")
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-test", max_retries=0, timeout=30) as client:
        yield client


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_an_answer_comes_back_whole_and_is_logged(client, gateway):
    messages = [{"role": "system", "content": "Be brief."}, *user("Grüße aus Köln 👩‍👩‍👧 am Montag")]
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=messages, temperature=0.2)
    assert completion.choices[0].message.content == "You said: Grüße aus Köln 👩‍👩‍👧 am Montag"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage.total_tokens > 0
    (request,) = received(gateway, "am Montag")
    assert request.body["messages"] == messages
    (call,) = logged(gateway, "am Montag")
    assert call.request["messages"] == messages
    assert call.request["temperature"] == 0.2
    assert call.response["id"] == completion.id
    assert call.response["usage"]["total_tokens"] == completion.usage.total_tokens
    assert logged_answer(gateway, "am Montag").text == completion.choices[0].message.content


def test_a_stream_says_the_same_piece_by_piece(client, gateway):
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="gpt-4o-mini", messages=user("Grüße am Dienstag 👋🏽"), stream=True, stream_options=options)
    )
    assert len(chunks) > 5
    assert text_of(chunks) == "You said: Grüße am Dienstag 👋🏽"
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0
    (call,) = logged(gateway, "am Dienstag")
    assert call.response["usage"]["total_tokens"] == chunks[-1].usage.total_tokens
    assert logged_answer(gateway, "am Dienstag").text == "You said: Grüße am Dienstag 👋🏽"


def test_a_stream_has_usage_only_where_it_was_asked_for(client):
    chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=user("without usage"), stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_packets_that_split_events_and_characters_do_no_harm(client, gateway):
    chunks = client.chat.completions.create(model="ragged", messages=user("Größe: 5 €, zerrissen 👩‍👩‍👧"), stream=True)
    assert text_of(chunks) == "You said: Größe: 5 €, zerrissen 👩‍👩‍👧"
    assert logged_answer(gateway, "zerrissen").text == "You said: Größe: 5 €, zerrissen 👩‍👩‍👧"


def test_the_asynchronous_client_streams_many_at_once(gateway):
    async def ask(client, i):
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=user(f"async {i}!"), stream=True)
        return text_of([chunk async for chunk in stream])

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-test", max_retries=0) as client:
            return await asyncio.gather(*(ask(client, i) for i in range(12)))

    assert asyncio.run(ask_all()) == [f"You said: async {i}!" for i in range(12)]
    answers = {response_answer(call.response).text for call in logged(gateway, "async ", 12)}
    assert answers == {f"You said: async {i}!" for i in range(12)}


def test_tools_are_called_in_parallel_and_answered(client, gateway):
    words = "Regen in Köln?"
    first = client.chat.completions.create(model="gpt-4o-mini", messages=user(words), tools=TOOLS)
    calls = first.choices[0].message.tool_calls
    expected = [("weather", {"city": words}), ("news", {"topic": words, "day": words})]
    assert [(c.function.name, json.loads(c.function.arguments)) for c in calls] == expected
    assert first.choices[0].finish_reason == "tool_calls"
    assert logged_answer(gateway, words).tool_calls == tuple(ToolCall(*call) for call in expected)
    answers = [{"role": "tool", "tool_call_id": call.id, "content": f"{call.function.name}: none"} for call in calls]
    messages = [*user(words), first.choices[0].message.model_dump(exclude_none=True), *answers]
    second = client.chat.completions.create(model="gpt-4o-mini", messages=messages, tools=TOOLS)
    assert second.choices[0].message.content == "The tools answered: weather: none; news: none"
    asked, answered = logged(gateway, words, 2)
    assert response_answer(answered.response).text == second.choices[0].message.content
    assert answered.session_id == asked.session_id


def test_streamed_tool_calls_are_put_together(client, gateway):
    words = 'Schnee in "Ağrı"?'
    with client.chat.completions.stream(model="gpt-4o-mini", messages=user(words), tools=TOOLS) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [c.function.name for c in message.tool_calls] == ["weather", "news"]
    assert [json.loads(c.function.arguments)["city"] for c in message.tool_calls[:1]] == [words]
    assert [call.arguments for call in logged_answer(gateway, "Ağrı").tool_calls] == [{"city": words}, {"topic": words, "day": words}]


def test_one_tool_at_a_time(client, gateway):
    completion = client.chat.completions.create(model="gpt-4o-mini", messages=user("only one tool"), tools=TOOLS, parallel_tool_calls=False)
    assert len(completion.choices[0].message.tool_calls) == 1
    assert len(logged_answer(gateway, "only one tool").tool_calls) == 1


class Person(BaseModel):
    name: str
    age: int


class Party(BaseModel):
    kind: Literal["birthday", "wedding"]
    guests: list[Person]
    paid: bool


def test_structured_output_is_parsed(client, gateway):
    completion = client.chat.completions.parse(model="gpt-4o-mini", messages=user("a party"), response_format=Party)
    party = Party(kind="birthday", guests=[Person(name="a party", age=3)], paid=True)
    assert completion.choices[0].message.parsed == party
    assert Party.model_validate_json(logged_answer(gateway, "a party").text) == party


def test_several_choices_and_logprobs(client, gateway):
    completion = client.chat.completions.create(
        model="gpt-4o-mini", messages=user("say it twice"), n=2, logprobs=True, top_logprobs=2, seed=1
    )
    assert [choice.message.content for choice in completion.choices] == ["You said: say it twice", "You said: say it twice (2)"]
    for choice in completion.choices:
        assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
        assert all(len(token.top_logprobs) == 2 for token in choice.logprobs.content)
    (call,) = logged(gateway, "say it twice")
    assert call.response["choices"] == [choice.model_dump(exclude_unset=True) for choice in completion.choices]


def test_pictures_and_other_parts_go_through_untouched(client, gateway):
    parts = [{"type": "text", "text": "what is on it?"}, {"type": "image_url", "image_url": {"url": PICTURE, "detail": "low"}}]
    messages = [{"role": "user", "content": parts, "name": "ann"}]
    completion = client.chat.completions.create(model="gpt-4o", messages=messages)
    assert completion.choices[0].message.content == "You said: what is on it? [image_url]"
    assert received(gateway, "what is on it?")[0].body["messages"] == messages
    assert logged(gateway, "what is on it?")[0].request["messages"] == messages


def test_a_reasoning_model_shows_its_reasoning(client, gateway):
    completion = client.chat.completions.create(model="reasoner-1", messages=user("think hard"), reasoning_effort="high")
    assert completion.choices[0].message.reasoning_content == "The user wants: think hard"
    assert completion.usage.completion_tokens_details.reasoning_tokens > 0
    assert logged_answer(gateway, "think hard").text == "You said: think hard"


def test_fields_that_no_specification_knows_go_through_both_ways(client, gateway):
    completion = client.chat.completions.create(
        model="unknown-fields", messages=user("odd fields"), extra_body={"x_mode": {"deep": [1, None]}}, extra_headers={"x-trace": "t-1"}
    )
    assert completion.x_top == {"weights": [0.25, None, "ß"]}
    assert completion.choices[0].message.x_message == ["kept", {"as": "it is"}]
    assert completion.echo == {"x_mode": {"deep": [1, None]}}
    (call,) = logged(gateway, "odd fields")
    assert call.request["x_mode"] == {"deep": [1, None]}
    assert call.response["x_top"] == {"weights": [0.25, None, "ß"]}


def test_a_client_names_its_agent_and_session_in_headers(client, gateway):
    names = {"x-slm-agent": "billing", "x-slm-session": "session-7"}
    client.chat.completions.create(model="gpt-4o-mini", messages=user("who am I?"), extra_headers=names)
    (call,) = logged(gateway, "who am I?")
    assert (call.agent, call.session_id) == ("billing", "session-7")
    assert not names.keys() & received(gateway, "who am I?")[0].headers.keys()


FORM = {"type": "json_schema", "json_schema": {"name": "form", "schema": tool("form", "b")["function"]["parameters"]}}
SAME = {
    "text": {},
    "tools": {"tools": TOOLS},
    "one-tool": {"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "news"}}},
    "choices": {"n": 3},
    "choices-of-tools": {"n": 2, "tools": TOOLS},
    "logprobs": {"logprobs": True, "top_logprobs": 1},
    "reasoning": {"model": "reasoner-1"},
    "reasoning-then-tools": {"model": "reasoner-1", "tools": TOOLS},
    "structured": {"response_format": FORM},
    "unknown-fields": {"model": "unknown-fields"},
}


@pytest.mark.parametrize("name", SAME)
def test_streamed_and_whole_answers_give_the_same_record(client, gateway, name):
    words = f"the same both ways, ü: {name}."
    body = {"model": "gpt-4o-mini", "messages": user(words)} | SAME[name]
    client.chat.completions.create(**body)
    (whole,) = logged(gateway, words)
    list(client.chat.completions.create(**body, stream=True, stream_options={"include_usage": True}))
    streamed = logged(gateway, words, 2)[1]
    assert substance(streamed.request, STREAM) == substance(whole.request, STREAM)
    assert substance(streamed.response, FRAME) == substance(whole.response, FRAME)


def test_embeddings(client, gateway):
    found = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"], dimensions=6)
    assert [len(item.embedding) for item in found.data] == [6, 6]
    assert found.data[0].embedding != found.data[1].embedding
    assert received(gateway, '"one","two"')[0].path == "/v1/embeddings"
    (call,) = logged(gateway, '"one","two"')
    assert call.response["usage"]["total_tokens"] == found.usage.total_tokens
    assert target_of(call) is None


def test_the_list_of_models(client):
    names = [model.id for model in client.models.list()]
    assert "gpt-4o-mini" in names
    assert client.models.retrieve("gpt-4o-mini").id == "gpt-4o-mini"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no-such-model")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("status", "error"),
    [(400, openai.BadRequestError), (401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
)
def test_errors_are_the_clients_own(client, gateway, status, error, stream):
    words = f"an error {status} {stream}"
    with pytest.raises(error, match=f"the upstream says {status}") as caught:
        client.chat.completions.create(model=f"status-{status}", messages=user(words), stream=stream)
    assert caught.value.status_code == status
    assert caught.value.type
    assert_failed(gateway, words, str(status))


@pytest.mark.parametrize("model", ["break", "error-in-stream"])
def test_a_stream_that_breaks_is_no_normal_end(client, gateway, model):
    words = f"an end too early: {model}"
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model=model, messages=user(words), stream=True))
    assert_failed(gateway, words)


def test_a_client_that_leaves_is_followed_by_the_gateway(client, gateway):
    stream = client.chat.completions.create(model="slow-stream", messages=user("I leave early"), stream=True)
    next(stream)
    next(stream)
    stream.close()
    (request,) = received(gateway, "I leave early")
    assert eventually(lambda: request.aborted)
    assert_left(gateway, "I leave early")


def test_responses_api(client, gateway):
    response = client.responses.create(model="gpt-4o-mini", input="a response please", instructions="Be brief.")
    assert response.output_text == "You said: a response please"
    assert response.usage.total_tokens > 0
    assert logged_answer(gateway, "a response please").text == response.output_text


def test_responses_api_streams(client, gateway):
    events = list(client.responses.create(model="gpt-4o-mini", input="a streamed response", stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == "You said: a streamed response"
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "You said: a streamed response"
    assert logged_answer(gateway, "a streamed response").text == "You said: a streamed response"


def test_responses_api_calls_tools(client, gateway):
    tools = [{"type": "function", "strict": True, **item["function"]} for item in TOOLS]
    response = client.responses.create(model="gpt-4o-mini", input="tools in a response", tools=tools)
    assert [item.name for item in response.output] == ["weather", "news"]
    assert [call.name for call in logged_answer(gateway, "tools in a response").tool_calls] == ["weather", "news"]
    with client.responses.stream(model="gpt-4o-mini", input="streamed tools in a response", tools=tools) as stream:
        output = stream.get_final_response().output
    assert [json.loads(item.arguments)["city"] for item in output[:1]] == ["streamed tools in a response"]
    assert [call.name for call in logged_answer(gateway, "streamed tools in a response").tool_calls] == ["weather", "news"]
