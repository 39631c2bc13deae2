"""Sessions rebuilt from what is said, one call after the other, as the gateway does it."""

import json

import pytest

from slm_pipeline.records import Answer as Said
from slm_pipeline.records import response_of
from slm_pipeline.s1_collect.importers.sessions import Sessions, opening

USER, MORE = {"role": "user", "content": "hi"}, {"role": "user", "content": "why?"}
HELLO = {"role": "assistant", "content": "hello"}


def ask(sessions, client, messages, new_id, text=None, response_id=None, **more):
    request = {"messages": messages} | more
    session = sessions.session_of(client, request, new_id)
    if text is not None:
        sessions.remember(client, request, response_of(Said(text), "m") | ({"id": response_id} if response_id else {}), session)
    return session


def test_a_conversation_that_goes_on_stays_in_its_session():
    sessions = Sessions()
    assert ask(sessions, "c", [USER], "1", "hello") == "1"
    assert ask(sessions, "c", [USER, HELLO, MORE], "2", "because") == "1"
    assert ask(sessions, "c", [USER, HELLO, MORE, {"role": "assistant", "content": "because"}, MORE], "3") == "1"


def test_all_calls_of_a_conversation_have_its_opening():
    first = {"messages": [{"role": "system", "content": "It is noon."}, {"role": "user", "content": "hello"}]}
    later = {"messages": [{"role": "system", "content": "It is one."}, *first["messages"][1:], {"role": "assistant", "content": "yes?"}]}
    assert opening("c", first) == opening("c", later)
    others = [opening("d", first), opening("c", {"messages": [{"role": "user", "content": "good day"}]}), opening("c", {})]
    assert len({opening("c", first), *others}) == 4


def test_another_client_another_opening_or_another_answer_is_another_session():
    sessions = Sessions()
    ask(sessions, "c", [USER], "1", "hello")
    assert ask(sessions, "d", [USER, HELLO, MORE], "2") == "2"
    assert ask(sessions, "c", [MORE, HELLO, MORE], "3") == "3"
    assert ask(sessions, "c", [USER, {"role": "assistant", "content": "go away"}, MORE], "4") == "4"
    assert ask(sessions, "c", [USER], "5", "hello") == "5"


def test_a_request_whose_answer_is_not_known_yet_joins_nothing():
    sessions = Sessions()
    ask(sessions, "c", [USER], "1")
    assert ask(sessions, "c", [USER, HELLO, MORE], "2") == "2"


@pytest.mark.parametrize(
    "answer",
    [
        {"role": "assistant", "content": "hello", "refusal": None, "annotations": []},
        {"role": "assistant", "content": " hello\n"},
        {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
    ],
)
def test_an_answer_is_known_again_in_another_envelope(answer):
    sessions = Sessions()
    ask(sessions, "c", [USER], "1", "hello")
    assert ask(sessions, "c", [USER, answer, MORE], "2") == "1"


def test_a_system_prompt_that_tells_the_time_does_not_cut_a_conversation():
    sessions = Sessions()
    ask(sessions, "c", [{"role": "system", "content": "It is 10:00."}, USER], "1", "hello")
    assert ask(sessions, "c", [{"role": "system", "content": "It is 10:01."}, USER, HELLO, MORE], "2") == "1"


def test_a_system_prompt_that_is_all_there_is_tells_conversations_apart():
    sessions = Sessions()
    ask(sessions, "c", [{"role": "system", "content": "Sort parcel 1."}], "1", "hello")
    ask(sessions, "c", [{"role": "system", "content": "Sort parcel 2."}], "2", "hello")
    assert ask(sessions, "c", [{"role": "system", "content": "Sort parcel 1."}, HELLO, MORE], "3") == "1"


def test_the_latest_of_two_conversations_with_the_same_words_goes_on():
    sessions = Sessions()
    ask(sessions, "c", [USER], "1", "hello")
    ask(sessions, "c", [USER], "2", "hello")
    assert ask(sessions, "c", [USER, HELLO, MORE], "3") == "2"


def test_a_response_that_is_named_is_continued():
    sessions = Sessions()
    ask(sessions, "c", [USER], "1", "hello", response_id="resp_1")
    assert ask(sessions, "c", [MORE], "2", previous_response_id="resp_1") == "1"
    assert ask(sessions, "d", [MORE], "3", previous_response_id="resp_1") == "3"


def test_no_more_than_so_many_conversations_are_remembered_the_latest_used():
    sessions = Sessions(remembered=3)
    for n in range(3):
        ask(sessions, "c", [{"role": "user", "content": str(n)}], str(n), "hello")
    assert ask(sessions, "c", [{"role": "user", "content": "0"}, HELLO, MORE], "x") == "0"
    ask(sessions, "c", [{"role": "user", "content": "3"}], "3", "hello")
    assert ask(sessions, "c", [{"role": "user", "content": "0"}, HELLO, MORE], "y") == "0"
    assert ask(sessions, "c", [{"role": "user", "content": "1"}, HELLO, MORE], "z") == "z"


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"messages": 3},
        {"messages": [None, 1, "x", [], {}]},
        {"messages": [{"role": "assistant", "tool_calls": 5}, {"role": ["x"], "content": {"a": 1}}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[" * 100_000}}]}]},
        {"messages": [USER], "previous_response_id": 7},
    ],
)
def test_no_request_is_too_odd(odd):
    sessions = Sessions()
    assert sessions.session_of("c\ud800", odd, "1") == "1"
    for response in ({}, {"choices": 1}, {"choices": [None]}, {"choices": [{"message": {"tool_calls": 5}}]}, response_of(Said("a"), "m")):
        sessions.remember("c\ud800", odd, response, "1")
    assert json.dumps(odd)
