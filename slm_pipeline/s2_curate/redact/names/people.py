"""Names of persons and organisations."""

import random

from slm_pipeline.s2_curate.redact.names import pools
from slm_pipeline.s2_curate.redact.names.pools import any_locale, pick
from slm_pipeline.s2_curate.redact.names.words import words

LEGAL, TRADE, PUBLIC, BRAND_ENDS = words("legal"), words("trade"), words("public"), words("brand_ends")
PERSONS, SUFFIXES, PARTICLES = words("persons"), words("suffixes"), words("particles")


def first_name(rng: random.Random) -> str:
    """A given name."""
    return rng.choice(any_locale(rng, "first").first)


def last_name(rng: random.Random) -> str:
    """A family name."""
    return rng.choice(any_locale(rng, "last").last)


def person(rng: random.Random) -> str:
    """A person's name in one of its usual forms."""
    held = any_locale(rng, "first" if rng.random() < 0.5 else "last")
    held = held if held.first and held.last else pools.locale("en_US")
    first, last = rng.choice(held.first), rng.choice(held.last)
    share = rng.random()
    form = "{first} {last}" if share < 0.56 else "{first}" if share < 0.68 else "{last}" if share < 0.76 else rng.choice(PERSONS)
    return form.format(
        first=first,
        last=last,
        second=rng.choice(held.first),
        other=rng.choice(held.last),
        foreign=last_name(rng),
        initial=rng.choice("ABCDEFGHJKLMNPRSTW"),
        letter=first[0],
        particle=rng.choice(PARTICLES),
        suffix=rng.choice(SUFFIXES),
    )


def organisation(rng: random.Random) -> str:
    """The name of a company, institution or brand."""
    nouns, adjectives, share = pools.ordinary()["noun"], pools.ordinary()["adj"], rng.random()

    def noun() -> str:
        return rng.choice(nouns).title()

    legal = rng.choice(["", "", f" {rng.choice(LEGAL)}", f", {rng.choice(LEGAL)}"])
    if share < 0.3:
        return rng.choice(any_locale(rng, "org").org)
    if share < 0.45:
        return rng.choice(PUBLIC).format(city=rng.choice(pools.large_cities()), noun=noun(), first=first_name(rng), last=last_name(rng))
    if share < 0.6:
        name = pick(rng, noun(), last_name(rng), rng.choice(adjectives).title(), rng.choice(pools.large_cities()), noun() + noun().lower())
        return f"{name} {rng.choice(TRADE)}{legal}"
    if share < 0.68:
        return "".join(rng.choice("ABCDEFGHIJKLMNOPRSTUVWXZ") for _ in range(rng.randint(2, 4)))
    if share < 0.8:
        end = rng.choice(BRAND_ENDS)
        made = noun()[: rng.randint(3, 7)] + pick(rng, end, end, end.title(), noun())
        return made + rng.choice(["", "", ".com", ".io", legal])
    if share < 0.94:
        made = [rng.choice([noun(), noun(), rng.choice(adjectives).title()]) for _ in range(rng.choice([1, 2, 2, 2, 3]))]
        before = rng.choice(["", "", "", "", "", f"{rng.randint(1, 99)} ", f"{last_name(rng)} "])
        return before + rng.choice([" ", " ", " ", " & ", " and "]).join(made) + legal
    return pick(rng, last_name(rng), noun(), noun()[:5].upper(), f"{rng.randint(1, 99)}{noun()}")
