"""Conversations that are too long keep their end, whatever stands in them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.prompting import fit_messages, render_prompt, token_ids
from slm_pipeline_tests.tiny import make_tiny_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("base"))


def said(*contents, system=None):
    head = [] if system is None else [{"role": "system", "content": system}]
    return head + [{"role": "user" if i % 2 == 0 else "assistant", "content": content} for i, content in enumerate(contents)]


def size(messages, folder):
    return len(token_ids(render_prompt(messages, folder), folder))


def test_what_fits_is_left_alone(folder):
    messages = said("one", "two", system="be brief")
    assert fit_messages(messages, folder, 500) == (messages, False)


def test_the_oldest_messages_go_first_and_the_system_message_stays(folder):
    messages = said("old " * 50, "older " * 50, "what now?", system="be brief")
    fitted, cut = fit_messages(messages, folder, 150)
    assert cut
    assert fitted == [messages[0], messages[-1]]


@pytest.mark.parametrize("messages", [said("x" * 900 + " the end"), said("x" * 900 + " the end", system="be brief")])
def test_one_message_that_is_too_long_keeps_its_end(folder, messages):
    fitted, cut = fit_messages(messages, folder, 200)
    assert cut
    assert size(fitted, folder) <= 200
    assert fitted[-1]["content"].endswith(" the end")
    assert fitted[:-1] == messages[:-1]


def test_a_system_message_without_room_for_more_keeps_its_end(folder):
    fitted, _ = fit_messages(said("what now?", system="y" * 900 + " rule"), folder, 300)
    assert size(fitted, folder) <= 300
    assert fitted[0]["content"].endswith(" rule")


@given(
    st.lists(st.text(st.characters(codec="ascii"), max_size=400), min_size=1, max_size=5),
    st.none() | st.text(max_size=400),
    st.integers(200, 400),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_conversation_fits(folder, contents, system, budget):
    messages = said(*contents, system=system)
    fitted, cut = fit_messages(messages, folder, budget)
    assert size(fitted, folder) <= budget
    assert cut == (size(messages, folder) > budget)
