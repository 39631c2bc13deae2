"""Sentences with names and without, filled from carriers: seeded, so that the same seed gives the same sentences.

A carrier is a line of `carriers/*.txt`: «a|b» is one of these, {slot} is filled by SLOTS; a line @locales says which locales fill
the names of the lines below it.
"""

import random
import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files

from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.s2_curate.redact.names import addresses, pools, spelling
from slm_pipeline.s2_curate.redact.names.marks import lead, mark, unmark
from slm_pipeline.s2_curate.redact.names.people import first_name, last_name, organisation, person
from slm_pipeline.s2_curate.redact.names.plain import PLAIN

VERSION = 2  # changes whenever the same seed gives other sentences
CHOICE = re.compile(r"«([^«»]*)»")
SLOT = re.compile(r"\{(:|block[^{}\n]*|[A-Za-z0-9]+)\}")
SHARES = {"support": 5, "plain_support": 2, "prose": 6, "plain_prose": 3, "forms": 6, "technical": 4, "languages": 2}
OPENINGS = ('"', "> ", "- ", "1. ", "User: ", "Bot: ", "user> ", "Human: ", "Q: ", "* ", "[1] ", "System: ")
LEADS = ("> ", ">", ">> ", "| ", "* ", "- ", "-- ", "# ", "// ", ": ", "    ", "\t", "• ", "~ ", "+ ", "! ")

Rng = random.Random


@cache
def carriers(topic: str) -> list[tuple[str, tuple[str, ...]]]:
    """The carriers of a topic, each with the locales it names."""
    made, locales = [], ()
    for line in (files("slm_pipeline.s2_curate.redact.names") / "carriers" / f"{topic}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("@") and all(name in (*pools.LATIN, *pools.OTHER) for name in line[1:].split()):
            locales = tuple(line[1:].split())
        else:
            made.append((line.replace("\\n", "\n").replace("\\t", "\t"), locales))
    return made


def _place(rng: Rng) -> str:
    return addresses.country(rng) if rng.random() < 0.4 else addresses.city(rng)


NAMED: dict[str, tuple[str, Callable[[Rng], str]]] = {
    "person": ("PERSON", person),
    "first": ("PERSON", first_name),
    "last": ("PERSON", last_name),
    "place": ("LOCATION", _place),
    "city": ("LOCATION", addresses.city),
    "country": ("LOCATION", addresses.country),
    "org": ("ORGANIZATION", organisation),
    "address": ("ADDRESS", addresses.one_line),
    "address1": ("ADDRESS", lambda rng: addresses.one_line(rng).replace("\n", ", ")),
    "street": ("ADDRESS", addresses.street),
    "unit": ("ADDRESS", addresses.unit),
    "state": ("LOCATION", lambda rng: rng.choice(rng.choice(pools.states()))),
    "road": ("ADDRESS", addresses.road),
    "zip": ("ADDRESS", addresses.code),
    "corner": ("ADDRESS", addresses.corner),
}


def _fill(rng: Rng, carrier: str, locales: tuple[str, ...]) -> str:
    while "«" in carrier:
        carrier = CHOICE.sub(lambda m: rng.choice(m[1].split("|")), carrier)
    home = pools.locale(rng.choice(locales)) if locales else None

    def fill(match: re.Match) -> str:
        slot = match[1]
        if home and (own := getattr(home, slot, None)) and slot in NAMED:
            return mark(NAMED[slot][0], rng.choice(own))
        if home and slot == "person" and home.first and home.last:
            return mark("PERSON", f"{rng.choice(home.first)} {rng.choice(home.last)}")
        if slot.startswith("block"):
            return addresses.block(rng, slot[5:])
        if slot in NAMED:
            kind, make = NAMED[slot]
            return mark(kind, make(rng))
        return PLAIN[slot](rng)

    return SLOT.sub(fill, carrier)


def text(rng: Rng) -> tuple[str, list[Find]]:
    """One text of one to four carriers, and what is to be found in it."""
    made = []
    topic = rng.choices(list(SHARES), list(SHARES.values()))[0]
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4])):
        if rng.random() < 0.3:
            topic = rng.choices(list(SHARES), list(SHARES.values()))[0]
        made.append(_fill(rng, *rng.choice(carriers(topic))))
    gap = rng.choice([" ", " ", "\n", "\n\n"]) if topic not in ("forms", "technical") else rng.choice(["\n", "\n\n"])
    marked = gap.join(made)
    if rng.random() < 0.06:
        marked = rng.choice(OPENINGS) + marked
    elif rng.random() < 0.1:
        marked = lead(marked, rng.choice(LEADS))
    return spelling.vary(rng, *unmark(spelling.swap_words(rng, marked)))


def texts(seed: int, count: int) -> Iterator[tuple[str, list[Find]]]:
    """Texts of a seed."""
    rng = random.Random(seed)
    return (text(rng) for _ in range(count))
