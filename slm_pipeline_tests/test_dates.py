"""Dates are read only where they hardly mean anything else."""

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.dates import moment

FORMS = ("%Y-%m-%d", "%Y/%m/%d", "%d %B %Y", "%B %d, %Y", "%b %d %Y", "%A, %B %d, %Y", "%d of %B %Y")
days = st.dates(date(1900, 1, 1), date(2999, 12, 31))


@given(days, st.sampled_from(FORMS))
def test_every_form_of_a_date_is_that_date(day, form):
    assert moment(day.strftime(form)) == datetime.combine(day, time())


@given(days, st.sampled_from("/.-"))
def test_numeric_dates_take_their_order_from_the_description_or_not_at_all(day, mark):
    day_first, month_first = (day.strftime(form.replace("/", mark)) for form in ("%d/%m/%Y", "%m/%d/%Y"))
    midnight = datetime.combine(day, time())
    assert moment(day_first, f"as DD{mark}MM{mark}YYYY") == midnight
    assert moment(month_first, f"as MM{mark}DD{mark}YYYY") == midnight
    assert moment(day_first) == (midnight if day.day > 12 else None)


@given(st.times(), st.booleans())
def test_times_of_day_in_either_clock(moment_of_day, spaced):
    said = moment_of_day.strftime("%I:%M %p" if spaced else "%I:%M%p")
    assert moment(said) == moment(moment_of_day.strftime("%H:%M")) == moment_of_day.replace(second=0, microsecond=0)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2900, 1, 1), timezones=st.timezones()))
def test_a_moment_with_a_zone_is_the_same_in_every_zone(at):
    at = at.replace(microsecond=0).astimezone(UTC)
    assert moment(at.isoformat()) == moment(at.strftime("%Y-%m-%dT%H:%M:%SZ")) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2024",
        "5",
        "05/04/2024",
        "2024-02-30",
        "31 June 2024",
        "25:00",
        "13 pm",
        "0 am",
        "1.2.3",
        "May 2024",
        "10:5",
        "12345678",
    ],
)
def test_what_is_no_date_is_none(text):
    assert moment(text) is None


@given(st.text(max_size=20))
def test_any_text_is_read(text):
    moment(text)
