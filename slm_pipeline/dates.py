"""What moment a string names, read strictly: only forms that hardly mean anything else, and no order of day and month is guessed."""

import re
from datetime import UTC, date, datetime, time

MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
NUMBERS = {name[:n]: i for i, name in enumerate(MONTHS, 1) for n in (3, len(name))} | {"sept": 9}
ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
ISO_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:?\d\d)?", re.IGNORECASE)
WORDED = re.compile(r"(?:[a-z]{3,9}day,? )?(?:([a-z]{3,9})\.? (\d{1,2})|(\d{1,2})(?: of)? ([a-z]{3,9})\.?),? (\d{4})")
ORDINAL = re.compile(r"(?<=\d)(st|nd|rd|th)\b")
NUMERIC = re.compile(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4})")
CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?(?: ?([ap])\.?m\.?)?")
HOUR = re.compile(r"(1[0-2]|[1-9]) ?([ap])\.?m\.?")
DAY_FIRST, MONTH_FIRST = re.compile(r"\bdd?[/.-]mm?[/.-]yy"), re.compile(r"\bmm?[/.-]dd?[/.-]yy")

Moment = datetime | time


def moment(text: str, description: str = "") -> Moment | None:
    """The date, point in time or time of day that `text` is; None if it is none, or an ambiguous one.

    A date is its midnight. 05/04/2024 is a date only if `description` says which comes first ("MM/DD/YYYY"); 27/04/2024 always is.
    A point in time with a zone is given in UTC, and never equals one without.
    """
    said = " ".join(text.split())
    try:
        if ISO_TIME.fullmatch(said):
            read = datetime.fromisoformat(said.upper())
            return read.astimezone(UTC) if read.tzinfo else read
        if found := ISO.fullmatch(said):
            return _midnight(*map(int, found.groups()))
        said = ORDINAL.sub("", said.casefold())
        if (found := WORDED.fullmatch(said)) and (month := NUMBERS.get(found[1] or found[4])):
            return _midnight(int(found[5]), month, int(found[2] or found[3]))
        if found := NUMERIC.fullmatch(said):
            return _numeric(int(found[1]), int(found[3]), int(found[4]), description.casefold())
        return _clock(said)
    except ValueError:
        return None


def _numeric(first: int, second: int, year: int, description: str) -> datetime | None:
    day_first, month_first = first > 12 or bool(DAY_FIRST.search(description)), second > 12 or bool(MONTH_FIRST.search(description))
    if day_first == month_first:
        return None
    return _midnight(year, second, first) if day_first else _midnight(year, first, second)


def _clock(said: str) -> time | None:
    if found := CLOCK.fullmatch(said):
        hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
        return time(_of_day(hour, found[4]) if found[4] else hour, minute, second)
    found = HOUR.fullmatch(said)
    return time(_of_day(int(found[1]), found[2])) if found else None


def _of_day(hour: int, half: str) -> int:
    if not 1 <= hour <= 12:
        raise ValueError(f"{hour} {half}m")
    return hour % 12 + (12 if half == "p" else 0)


def _midnight(year: int, month: int, day: int) -> datetime:
    return datetime.combine(date(year, month, day), time())
