"""Another date in the same spelling."""

import re

from slm_pipeline.s2_curate.redact.draws import Draw

NAMES = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
MONTH = r"(?P<name>[A-Za-z]{3,9})"
SPELLINGS = (
    re.compile(r"(?P<y>\d{4})(?P<a>[-/.年])(?P<m>\d{1,2})(?P<b>[-/.月])(?P<d>\d{1,2})(?P<c>日?)"),
    re.compile(r"(?P<m>\d{1,2})(?P<a>[-/.])(?P<d>\d{1,2})(?P<b>[-/.])(?P<y>\d{4}|\d{2})"),
    re.compile(rf"{MONTH}(?P<a>\.? )(?P<d>\d{{1,2}})(?P<b>(?:st|nd|rd|th)?,? )(?P<y>\d{{4}})"),
    re.compile(rf"(?P<d>\d{{1,2}})(?P<a>(?:st|nd|rd|th|\.)?(?: of)? ){MONTH}(?P<b>\.?,? )(?P<y>\d{{4}})"),
)


def date_of(value: str) -> tuple[int, int, int] | None:
    """(year, month, day) of a date in one of the spellings, month first where that is possible; None if it is no date."""
    return _read(value)[1]


def date_like(value: str, draw: Draw) -> str:
    """A valid date within nine years, spelt the same: digits padded alike, months written out alike."""
    match, date = _read(value)
    if date is None:
        return re.sub(r"\d", lambda m: draw.choice("123"), value)
    year, month, day = date[0] - 4 + draw.below(9), 1 + draw.below(12), 1 + draw.below(28)
    parts = match.groupdict()
    swapped = parts.get("name") is None and parts["m"] and int(parts["m"]) > 12  # day first
    made = {
        "y": f"{year:04}"[-len(parts["y"]) :],
        "m": _padded(day if swapped else month, parts.get("m")),
        "d": _padded(month if swapped else day, parts["d"]),
    }
    if parts.get("name"):
        made["name"] = _named(month, parts["name"])
    for name in ("a", "b"):
        made[name] = re.sub(r"st|nd|rd|th", {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd"}.get(day, "th"), parts[name])
    return "".join(made.get(name, text) for name, text in sorted(parts.items(), key=lambda part: match.start(part[0])) if text is not None)


def _read(value: str) -> tuple[re.Match | None, tuple[int, int, int] | None]:
    for spelling in SPELLINGS:
        match = spelling.fullmatch(value)
        if match:
            parts = match.groupdict()
            name = parts.get("name")
            month = (
                next((at for at, full in enumerate(NAMES, 1) if full.lower().startswith(name.lower()[:3])), 0) if name else int(parts["m"])
            )
            year, day = int(parts["y"]), int(parts["d"])
            year += 0 if year > 99 else 1900 if year > 30 else 2000
            if month > 12 and not name:
                month, day = day, month
            return (match, (year, month, day)) if 1 <= month <= 12 and 1 <= day <= 31 and year > 1000 else (match, None)
    return None, None


def _padded(number: int, like: str | None) -> str:
    return f"{number:02}" if like is None or len(like) == 2 else str(number)


def _named(month: int, like: str) -> str:
    full = NAMES[month - 1]
    made = full if len(like) > 4 or like.lower() in ("may", "june", "july") else full[:3]
    return made.upper() if like.isupper() else made.lower() if like.islower() else made
