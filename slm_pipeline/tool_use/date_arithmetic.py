"""Date arithmetic: the dates of a tool call that its prompt states only in relation to another ("next friday", "in three days")."""

import calendar
import re
from datetime import date, timedelta

ISO = re.compile(r"(?<!\d)\d{4}-\d{2}-\d{2}(?!\d)")
SHIFT = re.compile(r"(\d{4}-\d{2}-\d{2}) ([-+]) (\d{1,4}) days")
WEEKDAY = re.compile(r"(monday|tuesday|wednesday|thursday|friday|saturday|sunday) after (\d{4}-\d{2}-\d{2})")
NAMES = [name.lower() for name in calendar.day_name]
FARTHEST = 62
"""Days from which two dates are taken to have nothing to do with each other."""


def shift(expression: str) -> str | None:
    """The date that "2024-05-15 + 3 days" or "friday after 2024-05-15" names, in ISO form; None for anything else."""
    try:
        if found := SHIFT.fullmatch(expression.strip()):
            days = int(found[3]) if found[2] == "+" else -int(found[3])
            return (date.fromisoformat(found[1]) + timedelta(days)).isoformat()
        if found := WEEKDAY.fullmatch(expression.strip()):
            start = date.fromisoformat(found[2])
            return (start + timedelta((NAMES.index(found[1]) - start.weekday() - 1) % 7 + 1)).isoformat()
    except (ValueError, OverflowError):
        pass
    return None


def notes(prompt: str, answer: str) -> list[str]:
    """The expressions, in order, that give the dates of `answer` which do not stand in `prompt` from the nearest date that does."""
    known = [day for text in dict.fromkeys(ISO.findall(prompt)) if (day := _date(text))]
    wanted = [day for text in dict.fromkeys(ISO.findall(answer)) if (day := _date(text)) and day not in known]
    expressions = []
    for day in wanted:
        near = min(known, key=lambda other: (abs((day - other).days), other), default=None)
        if near is not None and abs((day - near).days) <= FARTHEST:
            expressions.append(_expression(prompt, near, day))
    return expressions


def _expression(prompt: str, start: date, day: date) -> str:
    named = f"{NAMES[day.weekday()]} after {start.isoformat()}"
    if NAMES[day.weekday()] in prompt.lower() and shift(named) == day.isoformat():
        return named
    days = (day - start).days
    return f"{start.isoformat()} {'+' if days > 0 else '-'} {abs(days)} days"


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
