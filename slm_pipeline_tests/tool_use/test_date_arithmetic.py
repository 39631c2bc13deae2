from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.tool_use.date_arithmetic import FARTHEST, notes, shift


@pytest.mark.parametrize(
    ("expression", "day"),
    [
        ("2024-05-15 + 3 days", "2024-05-18"),
        ("2024-03-01 - 1 days", "2024-02-29"),
        ("friday after 2024-05-15", "2024-05-17"),
        ("wednesday after 2024-05-15", "2024-05-22"),
    ],
)
def test_results(expression, day):
    assert shift(expression) == day


@pytest.mark.parametrize(
    "expression", ["", "2024-13-01 + 1 days", "9999-12-31 + 1 days", "2024-05-15 + 3 fortnights", "someday after 2024-05-15"]
)
def test_what_is_no_date_gives_nothing(expression):
    assert shift(expression) is None


def test_a_date_that_the_prompt_names_by_its_weekday():
    assert notes("Today is 2024-05-15. Fly next Friday.", '{"date": "2024-05-17"}') == ["friday after 2024-05-15"]


def test_dates_that_stand_in_the_prompt_or_far_from_it_need_no_note():
    assert notes("From 2024-05-15 to 2024-05-20", '{"from": "2024-05-15", "to": "2024-05-20"}') == []
    assert notes("Today is 2024-05-15", '{"birth": "1980-01-01"}') == []
    assert notes("Tomorrow, please", '{"date": "2024-05-16"}') == []


@given(
    st.dates(date(1990, 1, 1), date(2100, 1, 1)),
    st.integers(-FARTHEST, FARTHEST).filter(bool),
    st.sampled_from(["", "on Monday", "by friday"]),
)
def test_every_note_gives_the_date_it_stands_for(start, days, said):
    day = (start + timedelta(days)).isoformat()
    (note,) = notes(f"It is {start.isoformat()}. Do it {said}.", f'{{"when": "{day}"}}')
    assert shift(note) == day
