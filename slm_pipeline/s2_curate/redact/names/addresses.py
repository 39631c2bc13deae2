"""Addresses in the forms of many countries."""

import random
import re

from slm_pipeline.s2_curate.redact.names import pools
from slm_pipeline.s2_curate.redact.names.marks import mark
from slm_pipeline.s2_curate.redact.names.pools import any_locale, pick
from slm_pipeline.s2_curate.redact.names.words import tables, words

ENDINGS, PLAIN_STREETS, SIDES, NUMBERS = words("endings"), words("plain_streets"), words("sides"), words("numbers")
BOXES, UNITS, CORNERS, TOWNS, COUNTRIES = words("boxes"), words("units"), words("corners"), words("towns"), words("countries")
GLUED, LEADING, LINKS, TRAILING = tables("glued"), tables("leading"), tables("links"), tables("trailing")
GAPS = (", ", ", ", ", ", " ", " ", "\n", "\n ", ",\n", "; ", " - ")
CAPITALS = "ABCDEFGHIKLMNOPRSTUVZ"


def stem(rng: random.Random, locale: str = "") -> str:
    """What a street may be named after: a person, a place, a thing."""
    held = pools.locale(locale) if locale else any_locale(rng, "last")
    nouns = pools.ordinary()["noun"]
    return pick(
        rng,
        *([lambda: rng.choice(held.last)] * 3 if held.last else []),
        *([lambda: f"{rng.choice(held.first)} {rng.choice(held.last)}"] if held.first and held.last else []),
        *([lambda: rng.choice(held.city)] if held.city else []),
        *([lambda: rng.choice(nouns).title()] * 2 if not locale or locale.startswith("en") else []),
        lambda: rng.choice(pools.cities()),
        lambda: rng.choice(pools.lorem().get(locale) or pools.cities()).title(),
    )


def road(rng: random.Random) -> str:
    """The name of a street."""
    share = rng.random()
    if share < 0.3:
        return rng.choice(any_locale(rng, "road").road)
    if share < 0.58:
        ordinal = f"{rng.randint(3, 180)}th"
        name = pick(rng, lambda: stem(rng), lambda: stem(rng, "en_US"), lambda: rng.choice([*PLAIN_STREETS, ordinal]))
        return f"{rng.choice(SIDES)}{name} {rng.choice(ENDINGS)}"
    if share < 0.73:
        locale = rng.choice(list(GLUED))
        ending, name = rng.choice(GLUED[locale]), stem(rng, locale).rstrip(".")
        form = rng.choice(["{0}{1}", "{0}{1}", "{0}{1}", "{0}s{1}", "{0}er{1}", "{0}a{1}", "{0}s {1}", "{0}-{2}"])
        return form.format(name, ending, ending.title())
    if share < 0.9:
        locale = rng.choice(list(LEADING))
        link, name = rng.choice(LINKS[locale]), stem(rng, locale)
        return f"{rng.choice(LEADING[locale])} {link}{'' if link.endswith(chr(39)) or not link else ' '}{name}"
    locale = rng.choice(list(TRAILING))
    return f"{stem(rng, locale)} {rng.choice(TRAILING[locale])}"


def number(rng: random.Random) -> str:
    """A house number."""
    made = str(rng.randint(1, rng.choice([30, 200, 200, 2000, 20000])))
    form = rng.choice(NUMBERS) if rng.random() < 0.15 else "{n}"
    return form.format(n=made, m=rng.randint(1, 99), letter=rng.choice("abcdABCD"))


def street(rng: random.Random) -> str:
    """A street with its house number, a post-office box or a military address."""
    share = rng.random()
    if share < 0.12:
        return rng.choice(any_locale(rng, "street").street)
    if share < 0.19:
        before = f"{number(rng)} " if rng.random() < 0.3 else ""
        return f"{before}{rng.choice(BOXES)} {rng.randint(1, 9999)}"
    if share < 0.22:
        ship = f"{rng.choice(['USNV', 'USS', 'USNS', 'USCGC'])} {rng.choice(any_locale(rng, 'last').last)}"
        comma = rng.choice(["", "", ","])
        return pick(rng, ship, f"{rng.choice(['PSC', 'Unit', 'CMR'])} {rng.randint(100, 9999)}{comma} Box {rng.randint(1, 9999)}")
    name = road(rng)
    if share < 0.5:
        return f"{number(rng)}{rng.choice([' ', ' ', ' ', ', '])}{name}"
    if share < 0.76:
        return f"{name}{rng.choice([' ', ' ', ' ', ', '])}{number(rng)}"
    if share < 0.94:
        return f"{rng.choice(['', '', '', '0'])}{number(rng)} {name} {number(rng)}"
    return name if share < 0.96 else corner(rng)


def corner(rng: random.Random) -> str:
    """Where two streets meet."""
    forms = (lambda: road(rng), lambda: f"{road(rng)} {number(rng)}", lambda: f"{number(rng)} {road(rng)}", lambda: stem(rng))
    return rng.choice(CORNERS).format(pick(rng, *forms), pick(rng, *forms))


def unit(rng: random.Random) -> str:
    """A flat, suite or floor."""
    name = rng.choice(UNITS)
    digits = pick(rng, str(rng.randint(1, 999)), f"{rng.randint(1, 999):03}", f"{rng.randint(1, 30)}{rng.choice('ABCDEF')}")
    return f"{name}{'' if name == '#' else ' '}{digits}"


def city(rng: random.Random) -> str:
    """A town, in any spelling; one in seven in capitals."""
    made = pick(
        rng,
        lambda: rng.choice(pools.cities()),
        lambda: rng.choice(pools.large_cities()),
        lambda: rng.choice(any_locale(rng, "city").city),
    )
    return made.upper() if rng.random() < 0.15 else made


def country(rng: random.Random) -> str:
    """A country, most often by its English name."""
    made = pick(
        rng,
        *[lambda: rng.choice(pools.countries())] * 3,
        *[lambda: rng.choice(pools.locale("en_US").country)] * 3,
        lambda: rng.choice(any_locale(rng, "country").country),
    )
    return rng.choice(COUNTRIES).format(country=made) if rng.random() < 0.05 else made


def code(rng: random.Random) -> str:
    """A postcode."""
    five = f"{rng.randint(0, 99999):05}"
    known = pools.locale(rng.choice(["en_GB", "en_CA", "nl_NL"])).zip
    return pick(rng, lambda: rng.choice(any_locale(rng, "zip").zip), rng.choice(known), five, five, five, str(rng.randint(1000, 9999)))


def parts(rng: random.Random) -> list[str]:
    """An address in parts: street, perhaps flat, perhaps district, town."""
    state = rng.choice(pools.states())
    town = rng.choice(TOWNS).format(
        city=city(rng),
        country=country(rng),
        zip=code(rng),
        short=rng.choice([state[0], state[0], state[1], rng.choice(CAPITALS) + rng.choice(CAPITALS)]),
        region=rng.choice(any_locale(rng, "region").region),
        post=rng.choice(["APO", "FPO", "DPO"]),
        area=rng.choice(["AE", "AP", "AA"]),
    )
    return [street(rng), *([unit(rng)] if rng.random() < 0.45 else []), *town.split(";")]


def one_line(rng: random.Random) -> str:
    """A whole address, unmarked: on one line, or as it stands in a letter with its line ends."""
    held = parts(rng)
    if rng.random() < 0.12:
        held = held[:2]
    made = rng.choice(GAPS).join(held)
    return made.replace(", ", " ", 1) if rng.random() < 0.1 else made


def block(rng: random.Random, lead: str = "") -> str:
    """An address on several lines (each after `lead`), marked as a whole or part by part: towns and countries alone are places."""
    held = parts(rng)
    if not lead and rng.random() < 0.5:
        return mark("ADDRESS", rng.choice(["\n", "\n", "\n ", ",\n", "\n\n"]).join(held))
    gap = "\n" if lead else rng.choice(["\n", "\n", "\n\n", "\n "])
    if rng.random() < 0.5:
        return (gap + lead).join(mark("ADDRESS", part) for part in held)
    marked = [mark("ADDRESS", held[0])]
    for part in held[1:]:
        ends = re.fullmatch(r"(\D{4,}) (\S*\d\S*)", part)
        if len(part) > 2 and not any(c.isdigit() for c in part):
            marked.append(mark("LOCATION", part))
        elif ends and part is held[-1]:
            marked.append(f"{mark('LOCATION', ends[1])} {mark('ADDRESS', ends[2])}")
        else:
            marked.append(mark("ADDRESS", part))
    return (gap + lead).join(marked)
