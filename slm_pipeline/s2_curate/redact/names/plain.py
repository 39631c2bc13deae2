"""Fillings that are no names: words, numbers, dates, products, code."""

import base64
import random
import uuid
from collections.abc import Callable

from slm_pipeline.s2_curate.redact.names import pools
from slm_pipeline.s2_curate.redact.names.pools import pick
from slm_pipeline.s2_curate.redact.names.words import words

Rng = random.Random
PARTS = ("noun", "nouns", "verb", "verbs", "verbed", "verbing", "adj", "adv")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DIGITS = "0123456789"


def _word(part: str, form: Callable[[str], str] = str) -> Callable[[Rng], str]:
    return lambda rng: form(rng.choice(pools.ordinary()[part]))


def _one_of(name: str) -> Callable[[Rng], str]:
    return lambda rng: rng.choice(words(name))


def _of_language(locale: str) -> Callable[[Rng], str]:
    return lambda rng: rng.choice(pools.lorem()[locale])


def _some(characters: str, least: int, most: int) -> Callable[[Rng], str]:
    return lambda rng: "".join(rng.choice(characters) for _ in range(rng.randint(least, most)))


def _title(rng: Rng) -> str:
    known = pools.ordinary()
    kinds = ["noun", "noun", "nouns", "adj", "verbing", "verb"]
    made = [rng.choice(known[rng.choice(kinds)]).title() for _ in range(rng.choice([1, 2, 2, 3, 4]))]
    if len(made) > 2 and rng.random() < 0.4:
        made.insert(-1, rng.choice(["of", "and", "for", "in", "to", "the", "with"]))
    return " ".join(made)


def _variable(rng: Rng) -> str:
    verb, noun = rng.choice(pools.ordinary()["verb"]), rng.choice(pools.ordinary()["noun"])
    return rng.choice([noun, f"{verb}_{noun}", verb + noun.title(), f"{verb}_{noun}".upper(), f"{noun}_id"])


def _class(rng: Rng) -> str:
    return "".join(rng.choice(pools.ordinary()[p]).title() for p in rng.choice([["noun"], ["adj", "noun"], ["noun", "noun"]]))


def _user(rng: Rng) -> str:
    us = pools.locale("en_US")
    return f"{rng.choice(us.first).lower()}{rng.choice(['.', '_', ''])}{rng.choice(us.last).lower()}"


def _id(rng: Rng) -> str:
    letters, digits = _some(LETTERS, 2, 4)(rng), str(rng.randint(100, 999999))
    return pick(rng, letters + digits, digits, f"#{digits}", f"{letters}-{digits}", f"user_{digits}", f"{_user(rng)}_{digits}")


def _number(rng: Rng) -> str:
    return str(rng.randint(0, rng.choice([10, 10, 30, 100, 2030, 100000])))


def _amount(rng: Rng) -> str:
    cents = f"{rng.randint(1, 999)}.{rng.randint(0, 99):02}"
    return rng.choice(words("amounts")).format(pick(rng, str(rng.randint(1, 5000)), cents))


def _date(rng: Rng) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1930, 2030)
    name = rng.choice(words("months"))
    numbers = (f"{day}/{month}/{year}", f"{day}.{month}.{year}", f"{year}-{month:02}-{day:02}")
    weekday = rng.choice(words("weekdays"))
    return pick(rng, *numbers, f"{name} {day}, {year}", f"{day} {name} {year}", f"{name} {day}th", f"{weekday}, {name} {day}")


def _iso_date(rng: Rng) -> str:
    return f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def _time(rng: Rng) -> str:
    hour, minute = rng.randint(0, 23), rng.randint(0, 59)
    hours = f"{hour:02}:{minute:02}"
    return pick(rng, hours, f"{hours}:{rng.randint(0, 59):02}", f"{hour % 12 + 1}:{minute:02} PM", f"{hour % 12 + 1}pm")


def _url(rng: Rng) -> str:
    nouns = pools.ordinary()["noun"]
    return f"{rng.choice(['https://', 'http://', 'www.'])}{rng.choice(nouns)}.{rng.choice(['com', 'org', 'io', 'net'])}/{rng.choice(nouns)}"


PLAIN: dict[str, Callable[[Rng], str]] = {
    **{part: _word(part) for part in PARTS},
    **{part.title(): _word(part, str.title) for part in PARTS},
    **{locale[:2]: _of_language(locale) for locale in words("languages_with_words")},
    "NOUN": _word("noun", str.upper),
    "prep": lambda rng: rng.choice(["of", "in", "on", "with", "for", "by", "from", "to", "at", "under", "over", "into", "without"]),
    "Title": _title,
    "Camel": _class,
    "X": _some(LETTERS, 1, 1),
    "var": _variable,
    "n": _number,
    "amount": _amount,
    "date": _date,
    "isodate": _iso_date,
    "time": _time,
    "phone": lambda rng: "".join(rng.choice(DIGITS) if c == "0" else c for c in rng.choice(words("phones"))),
    "mail": lambda rng: f"{_user(rng)}@{rng.choice(pools.ordinary()['noun'])}.{rng.choice(['com', 'org', 'net', 'de', 'io'])}",
    "url": _url,
    "ip": lambda rng: ".".join(str(rng.randint(1, 255)) for _ in range(4)),
    "id": _id,
    "iata": lambda rng: pick(rng, _some(LETTERS, 3, 3)(rng), rng.choice(words("airports"))),
    "code": _some(LETTERS + DIGITS, 5, 8),
    "hex": _some("0123456789abcdef", 8, 8),
    "hex7": _some("0123456789abcdef", 7, 7),
    "hex40": _some("0123456789abcdef", 40, 40),
    "uuid": lambda rng: str(uuid.UUID(int=rng.getrandbits(128))),
    "base64": lambda rng: base64.b64encode(rng.randbytes(rng.randint(12, 90))).decode(),
    "job": lambda rng: pick(rng, rng.choice(words("jobs")), rng.choice(pools.locale("en_US").job)),
    "weekday": _one_of("weekdays"),
    "month": _one_of("months"),
    "lang": _one_of("languages"),
    "nat": lambda rng: rng.choice(words("languages") + words("nations")),
    "tech": _one_of("tech"),
    "product": lambda rng: pick(rng, rng.choice(words("products")), _title(rng)),
    ":": lambda rng: rng.choice([": ", ": ", ": ", ":", " : ", ":\n", " - ", ":   ", " = ", ":\t", "\t"]),
}
