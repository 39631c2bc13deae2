"""The words that stand-ins of names are made of: first names and surnames of many languages, from Faker."""

import unicodedata
from functools import cache
from importlib import import_module

LATIN = (
    *(
        "en_US",
        "en_GB",
        "en_IN",
        "de_DE",
        "fr_FR",
        "es_ES",
        "it_IT",
        "nl_NL",
        "sv_SE",
        "pl_PL",
        "pt_BR",
        "da_DK",
        "fi_FI",
        "cs_CZ",
        "hu_HU",
    ),
    "tr_TR",
)
OTHER = {"CYRILLIC": "ru_RU", "GREEK": "el_GR"}
# names that are ordinary words too: alone they are not replaced elsewhere, and nothing is replaced by them
_ORDINARY_WORDS = (
    "will may art rose grace hope faith joy mark bill rob grant frank chase drew sue pat jack dean guy miles dawn summer autumn "
    "april june august christian young long brown white black green gray grey blue red king queen prince price page stone wood "
    "woods hill hills field fields rivers brooks banks bank church cook baker mason law love best good rich poor short small "
    "little strong wise bright day knight bishop pope major judge cash bush rice berry lane street park parks case cross fox wolf "
    "bird swan crane fish bass pike ball bell booth chance destiny harmony ivy lily daisy violet ruby pearl crystal amber jade "
    "penny ray rusty sandy star sky victor in an so do be he she it we you they me my our to of and or but the this that is are "
    "was at on by for from with as if no not yes all any some more most new old first last north south east west sun son man see "
    "say way back land port center central city town state county international national general global united free open house "
    "home school college university hospital group company service services data system user name test order main high low big "
    "great nice special sea bay gold silver rock power speed light hand head hunter carpenter miller taylor smith turner fisher "
    "shepherd farmer marshall monday tuesday wednesday thursday friday saturday sunday january february march july september "
    "october november december mon tue wed thu fri sat jan feb mar apr jun jul aug sep oct nov dec dear hello hi thanks thank "
    "please can could would should must might shall let get set put run read write call send pay buy sell book change cancel "
    "flight hotel trip card gift credit sir madam mister miss doctor professor captain president manager agent assistant customer "
    "client buddy precious honey angel dolly don gay gene wade lance clay rod norm ward stew skip chip chuck dick randy holly iris "
    "olive hazel ginger rosemary basil sage melody carol aria bliss max min sum count duke earl baron royal noble moon winter "
    "spring snow frost rain storm case bond cope core root leaf branch burn burns bent blank block bolt brand bull camp chamber "
    "coil cool crow cotton drum dumb fair farm fast fine flag flat flowers ford friend gates glass grove guess hair hall ham "
    "hammer hard hood hook horn ice key keys keen lamb lake link list lock look loop lord mills moody moss nail needs oak pack "
    "paint peak pen pond pool post pound race reason ridge rink road roads root rush sand savage sharp shell shore silk singer "
    "sparks steel stout street sweet swift table tree trip vale van wall walls waters webb weeks wells wheat wheel wild winner "
    "worth wren yard "
)
ORDINARY = frozenset(_ORDINARY_WORDS.split())


@cache
def given_names() -> frozenset[str]:
    """First names in Latin letters, in lower case."""
    return frozenset(name.lower() for place in LATIN for name in _names(place, "first_name") if name.lower() not in ORDINARY)


@cache
def pool(script: str, given: bool) -> tuple[str, ...]:
    """Names of a script (a word of unicodedata's names, LATIN if there is no pool of it), sorted: of one word, no ordinary word."""
    places = (OTHER[script],) if script in OTHER else LATIN
    names = {name for place in places for name in _names(place, "first_name" if given else "last_name")}
    if script not in OTHER:
        names = {name for name in names if name.isascii()}
    return tuple(sorted(n for n in names if n.isalpha() and 3 <= len(n) <= 10 and n.istitle() and n.lower() not in ORDINARY))


@cache
def countries() -> tuple[str, ...]:
    """English names of countries that are one word, and the usual abbreviations, sorted."""
    names = import_module("faker.providers.address.en_US").Provider.countries
    return tuple(sorted({name for name in names if name.isalpha() and len(name) > 3} | {"USA", "UK", "UAE"}))


@cache
def country_words() -> frozenset[str]:
    """`countries` in lower case."""
    return frozenset(name.lower() for name in countries())


@cache
def script_of(letter: str) -> str:
    """LATIN, CYRILLIC, CJK, ... of a letter."""
    return unicodedata.name(letter, "?").split()[0]


def _names(place: str, attribute: str) -> set[str]:
    provider = import_module(f"faker.providers.person.{place}").Provider
    lists = (getattr(provider, attribute + kind, ()) for kind in ("s", "s_male", "s_female"))
    return {name for names in lists for name in names if isinstance(name, str)}
