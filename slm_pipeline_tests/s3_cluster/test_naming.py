import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.naming import name_tasks, slug, summary
from slm_pipeline.s3_cluster.phrases import duties, label_of, role_of
from slm_pipeline_tests.s3_cluster import traffic as made


def task(system=None, tools=(), **more):
    described = {"kind": "prefix", "system": system, "text_prefix": "", "text_suffix": "", "train_calls": 45, "turns": "single"}
    described |= {
        "tools": [made.tool(name, "a") for name in tools] or None,
        "actions": {"text": 1.0},
        "answer_form": "text",
        "identity": "0",
    }
    return described | more


def named(*pairs):
    tasks = [task(**more) | {"identity": str(i)} for i, (more, _) in enumerate(pairs)]
    name_tasks(tasks, [openings for _, openings in pairs])
    return tasks


PROMPTS = {
    "You are a senior editor. Your goal is to shorten press releases for the radio.\n{}": (
        "shorten press releases",
        "Shortens press releases for the radio",
    ),
    "Please translate the recipe below into Danish.\n{}": ("translate recipe", "Translates the recipe below into Danish"),
    "Extract the name, birthday, and shoe size of the patient.\n{}": (
        "extract name",
        "Extracts the name, birthday, and shoe size of the patient",
    ),
    "{}\nWrite short, plain, useful letters to guests.": ("write letters", "Writes short, plain, useful letters to guests"),
    "Classify and label these complaints by tone:\n{}": (
        "classify and label complaints",
        "Classifies and labels these complaints by tone",
    ),
    "Stop 1: harbour\nStop 2: mill\n{}\nNearest free stops:": ("nearest free stops", "Gives nearest free stops"),
    "You are a rhyme to prose converter.\n{}": ("rhyme prose converter", "Works as rhyme to prose converter"),
}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_that_says_what_it_wants_names_its_task(prompt):
    (found,) = named(({}, [prompt.format(content) for content in ("An oak.", "Two pears fell.", "Rain again?")]))
    assert (found["name"], found["about"]) == PROMPTS[prompt]
    assert summary(found) == f"{found['about']}; 45 calls, one question each, answered as text"


def test_agents_are_called_by_their_role_and_tool_loops_by_their_tools():
    role, loop, single = named(
        ({"system": "# Ferry Agent Policy\n\nAs a ferry agent, you can help travellers.", "tools": ["book"], "turns": "multi"}, ["Hello"]),
        (
            {
                "system": "You are a helpful assistant.",
                "tools": ["list_mails", "send_mail", "find_contact"],
                "turns": "multi",
                "actions": {"send_mail": 0.6, "find_contact": 0.4},
                "answer_form": "tool_call",
            },
            ["Hi"],
        ),
        ({"tools": ["getWeather_now", "stop"], "actions": {"getWeather_now": 1.0}, "answer_form": "tool_call"}, ["Is it wet?"]),
    )
    assert role["name"] == "ferry agent"
    assert loop["name"] == "mail and contact tools"
    assert summary(loop).endswith("(3 tools in all); 45 calls, in longer conversations, answered by 2 tools")
    assert single["name"] == "get weather now"


def test_what_only_some_calls_say_names_nothing():
    (found,) = named(({}, ["Colours of the day: Write a poem about bees", "Colours of the day: red", "Colours of the day: blue"]))
    assert found["name"] == "colours day"


def test_equal_names_are_told_apart_by_what_only_one_says():
    text = "Summarise the {} for the mayor. {}\n{}"
    one, two, three = named(
        *(
            ({}, [text.format(what, more, content) for content in "abc"])
            for what, more in (("report", "Mention costs."), ("report", "Mention dates."))
        ),
        ({}, [text.format("speech", "", content) for content in "abc"]),
    )
    assert (one["name"], two["name"], three["name"]) == ("summarise report: costs", "summarise report: dates", "summarise speech")


@given(st.lists(st.lists(st.text(max_size=60), min_size=1, max_size=4), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_names_are_unique_whatever_the_prompts_say_and_in_whatever_order(openings, rng):
    tasks = named(*(({}, texts) for texts in openings))
    names = [found["name"] for found in tasks]
    assert len(set(names)) == len(names)
    assert all(names)
    order = rng.sample(range(len(openings)), len(openings))
    again = [task() | {"identity": str(i)} for i in order]
    name_tasks(again, [openings[i] for i in order])
    assert [found["name"] for found in again] == [names[i] for i in order]


@given(st.text())
def test_any_text_has_phrases_or_none(text):
    assert all(duty.name and duty.sentence for duty in duties(text))
    assert role_of(text) != ""
    assert label_of(text) != ""
    assert 0 < len(slug(text)) <= 40


@pytest.mark.parametrize("text", ["You are a helpful assistant.", "As an AI language model, answer.", "Act as an expert."])
def test_a_general_role_is_none(text):
    assert role_of(text) is None
