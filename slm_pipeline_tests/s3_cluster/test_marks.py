import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s3_cluster.marks import HEAD, TAIL, marks, plain, typed, units


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Use at most 20 words.", "Use at most <number> words ."),
        ("Due 2026-03-01 at 10:30", "Due <date> at <number>"),
        ("on 2026-03-01T10:30:00 or 1.2.2026", "on <date> or <date>"),
        ("write to a.b@example.com, see https://example.com/x?y=1", "write to <email> , see <url>"),
        ('Say "no" (or nothing): ok', 'Say " no " ( or nothing ): ok'),
        ("costs 1,200.50 of 3", "costs <number> of <number>"),
        ("你好 world", "你 好 world"),
    ],
)
def test_values_become_typed_slots_and_punctuation_stands_alone(text, words):
    assert " ".join(plain(text).split()) == words


@given(st.text(max_size=300))
def test_any_text_can_be_read(text):
    assert plain(text).split() == " ".join(units(text)).split()
    assert all(weight > 0 for weight in marks(units(text)).values())


def test_the_middle_of_a_long_text_is_not_read():
    text = "begin " + "x " * HEAD + "inside " + "y " * TAIL + " end"
    assert typed(text).split()[0] == "begin"
    assert typed(text).split()[-1] == "end"
    assert "inside" not in typed(text)
