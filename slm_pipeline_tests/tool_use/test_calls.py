"""Answers with calls of tools: written for training, taken away again, and asked of a model that follows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.settings import Settings
from slm_pipeline.tool_use.calls import granted, with_calls, without_calls, write
from slm_pipeline.tool_use.lookups import ToolError

BOTH = ("calculator", "dates")
ANSWER = "2 + 8 = 10 (left: 8 10 14)\n8 / 2 = 4 (left: 4 8 14)"


class Scripted:
    """A model that would write `text` if nobody interrupted it; what is put behind its words must agree with it."""

    def __init__(self, text: str):
        self.text, self.asked = text, []

    def __call__(self, written, schema, stop, limit):
        assert self.text.startswith(written)
        rest = self.text[len(written) :]
        cut = min([rest.find(s) for s in stop if s in rest], default=len(rest))
        self.asked.append((written, schema, limit))
        return rest[:cut], cut


def test_results_are_the_tools_and_marks_are_taken_away():
    model = Scripted(with_calls("", ANSWER, "text", BOTH))
    assert write(model, None, BOTH, 1000)[0] == ANSWER
    assert len(model.asked) == 3


def test_a_wrong_result_cannot_be_written():
    said, _ = write(lambda written, *_: ("<<2 + 9", 4) if not written else (" (left)", 3), None, BOTH, 100)
    assert said == "2 + 9 = 11 (left)"


def test_a_call_that_no_tool_knows_is_left_to_the_model():
    said, _ = write(lambda written, *_: ("cat <<EOF", 4) if not written else (" done", 3), None, BOTH, 100)
    assert said == "cat <<EOF>> done"


def test_notes_before_a_tool_call_are_not_part_of_it():
    schema = {"type": "object"}
    call = '{"date": "2024-05-17"}'
    text = with_calls("Today is 2024-05-15; next friday", call, "tool_call", BOTH)
    assert text == f"<<friday after 2024-05-15>> = 2024-05-17\n{call}"
    model = Scripted(text)
    assert write(model, schema, BOTH, 1000)[0] == call
    assert [asked[1] for asked in model.asked] == [None, None, schema]


def test_a_tool_call_without_notes_is_asked_under_its_schema():
    assert write(Scripted('{"a": 1}'), {"type": "object"}, BOTH, 1000)[0] == '{"a": 1}'


def test_no_more_tokens_than_allowed_for_text():
    spent = write(lambda written, schema, stop, limit: ("<<1 + 1", 5), None, BOTH, 23)[1]
    assert 23 <= spent < 23 + 5


def test_answers_with_marks_of_their_own_are_not_touched():
    for text in ("cat <<EOF\n1 + 1 = 2", "a >> b", "<<x>>"):
        assert with_calls("", text, "text", BOTH) == text
        assert without_calls(text) == text


def test_who_is_granted_what(tmp_path):
    def given(tasks, group, grants):
        return granted(tasks, group, Settings(home=tmp_path, granted_tools=grants))

    grants = {"one": ("calculator",), "group": ("dates",)}
    assert given(["one", "two"], "group", grants) == {"one": ("calculator",), "two": ("dates",)}
    assert given(["one"], "other", {"*": ("dates",)}) == {"one": ("dates",)}
    assert given(["two"], "other", grants) == {}
    with pytest.raises(ToolError, match=r"no tool stock; there are calculator, dates, and rows of .*tools\.yaml"):
        given(["one"], "group", {"*": ("stock",)})


lines = st.builds("{} {} {} = {} (left: {})".format, *[st.integers(0, 30), st.sampled_from("+-*/"), *[st.integers(0, 30)] * 3])


@given(st.lists(st.one_of(lines, st.text(max_size=30)), max_size=6).map("\n".join))
def test_calls_come_and_go_without_a_trace(text):
    assert without_calls(with_calls("", text, "text", BOTH)) == text
