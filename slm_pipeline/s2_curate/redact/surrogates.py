"""Realistic stand-ins: a value of the same form, drawn by a keyed hash (HMAC-SHA256) of scope and value.

The key decides every draw, so without it nothing leads back to a value. Words of names are replaced one by one, the same word always by
the same one: a first name follows its full name, and a user id or the local part of a mail address follows both.
"""

import re
import string
from collections.abc import Callable
from functools import cache

from slm_pipeline.s2_curate.redact import secrets
from slm_pipeline.s2_curate.redact.dates import date_like
from slm_pipeline.s2_curate.redact.draws import Draw
from slm_pipeline.s2_curate.redact.identifiers import ANNOUNCED_IDS, PLAIN_IDS, STATES, valid_by, vin_check
from slm_pipeline.s2_curate.redact.personal import ISSUERS
from slm_pipeline.s2_curate.redact.pools import countries, country_words, given_names, pool, script_of
from slm_pipeline.s2_curate.redact.rules import digits

Words = Callable[[str], str]
REDRAWS = 40  # until a telephone number is valid
HONORIFICS = ("mr", "mrs", "ms", "miss", "dr", "prof", "sir", "madam")
# words of addresses, firms and names that say what a thing is, not which one
_PLAIN_WORDS = (
    "street avenue road lane drive boulevard court place square terrace highway parkway circle crescent close way trail st ave rd "
    "ln dr blvd ct pl sq hwy rue via calle avenida rua plaza piazza paseo viale corso ulica ul str strasse straße weg platz laan "
    "straat vej gade vägen gatan suite apt apartment unit ste floor room box po p o psc apo fpo dpo uss usns usnv uscgc corner "
    "building inc llc ltd corp corporation company co gmbh ag plc group bank university college school hospital institute airlines "
    "department office of the and in at de del la le les du des da do dos das di el van von der den und y e mr mrs ms miss dr prof "
    "sir madam jr sr ii iii iv phd md "
)
PLAIN = frozenset(_PLAIN_WORDS.split())
_PATH_WORDS = (
    "api v1 v2 v3 www docs index html htm php json xml pdf txt csv users user static assets images img blog news search login http "
    "https com "
)
PATH = frozenset(_PATH_WORDS.split())
PARTS = re.compile(r"[^\W\d_]+|\d+")
HUMPS = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
WORDLIKE = {"PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "TITLE"}
SECRET_KINDS = {rule.kind for rule in secrets.RULES}


def surrogate(kind: str, value: str, draw: Draw, words: Words, numbers: Words) -> str:
    """A value of the same form. `words` and `numbers` replace a word and a run of digits of names, the same always alike."""
    if kind in WORDLIKE:
        return _name(value, words, numbers, draw)
    if kind in SECRET_KINDS:
        return secret_like(kind, value, draw)
    if kind in FORMS_OF_WORDS:
        return FORMS_OF_WORDS[kind](value, draw, words)
    return FORMS.get(kind, like)(value, draw)


def identity(kind: str, value: str) -> str:
    """What makes two spellings of a value the same value."""
    if kind in ("PHONE", "CARD", "SSN", "IBAN", "NATIONAL_ID"):
        return re.sub(r"\W", "", value).upper()
    return value if kind in SECRET_KINDS else value.casefold()


def like(value: str, draw: Draw, hexadecimal: bool = False) -> str:
    """Digits for digits, letters for letters of the same case; a number keeps its length as a number."""
    made = []
    for at, c in enumerate(value):
        if hexadecimal and c in string.hexdigits:
            made.append(draw.choice("0123456789abcdef" if not value.isupper() else "0123456789ABCDEF"))
        elif c.isdigit():
            leading = at == 0 and c != "0" and len(value) > 1
            made.append(draw.choice("123456789" if leading else "0123456789"))
        elif c.isalpha():
            made.append(_letter(c, draw))
        else:
            made.append(c)
    return "".join(made)


def _letter(c: str, draw: Draw) -> str:
    if c.isascii():
        return draw.choice(string.ascii_uppercase if c.isupper() else string.ascii_lowercase)
    return draw.choice(_neighbours(c))


@cache
def _neighbours(c: str) -> str:
    """Letters of the same script and case."""
    block = (chr(code) for code in range(ord(c) & ~0x3F, (ord(c) & ~0x3F) + 0x40))
    return "".join(x for x in block if x.isalpha() and x.isupper() == c.isupper() and script_of(x) == script_of(c)) or c


def word_like(word: str, draw: Draw) -> str:
    """A name for a word, first name for first name, in the same script and case: MIA, mia and Mia differ in case only."""
    script = script_of(word[0])
    if script in ("CJK", "HIRAGANA", "KATAKANA", "HANGUL") or (script not in ("LATIN", "CYRILLIC", "GREEK")):
        return "".join(_letter(c, draw) for c in word)
    if len(word) == 1:
        return _letter(word, draw)
    if word.isupper() and word in STATES:
        return draw.choice(STATES)
    known_country = word.lower() in country_words() and word.lower() not in given_names()
    made = draw.choice(countries() if known_country else pool(script, word.lower() in given_names()))
    return made.upper() if word.isupper() else made.lower() if word.islower() else made.title()


def _name(value: str, words: Words, numbers: Words, draw: Draw) -> str:
    made = PARTS.sub(lambda m: numbers(m[0]) if m[0].isdigit() else m[0] if m[0].lower() in PLAIN else words(m[0]), value)
    if made != value:
        return made
    if value.strip(". ").lower() in HONORIFICS:
        other = draw.choice([h for h in HONORIFICS[:4] if h != value.strip(". ").lower()])
        return PARTS.sub(lambda m: other.title() if m[0].istitle() else other.upper() if m[0].isupper() else other, value)
    return PARTS.sub(lambda m: numbers(m[0]) if m[0].isdigit() else words(m[0]), value)


def _in_words(value: str, draw: Draw, words: Words, kept: frozenset[str] = frozenset()) -> str:
    def replace(part: re.Match) -> str:
        return like(part[0], draw) if part[0].isdigit() else "".join(words(word) for word in HUMPS.split(part[0]))

    return re.sub(r"[^\W_]+", lambda m: m[0] if m[0].lower() in kept else PARTS.sub(replace, m[0]), value)


def words_of(value: str) -> list[str]:
    """The words that stand-ins replace one by one: JoDoe@example holds Jo, Doe and example."""
    return [word for part in PARTS.findall(value) for word in HUMPS.split(part)]


def host_like(host: str, draw: Draw, words: Words) -> str:
    """Labels replaced but www, the top-level domain and the likes of "co" before it."""
    labels = host.split(".")
    kept = 2 if len(labels) > 2 and labels[-2].lower() in ("co", "com", "org", "net", "ac", "gov", "edu") else 1
    return ".".join(
        label if at >= len(labels) - kept or label.lower() == "www" else _in_words(label, draw, words) for at, label in enumerate(labels)
    )


def _url(value: str, draw: Draw, words: Words) -> str:
    scheme, host, port, rest = re.fullmatch(r"(?s)(https?://)?([^/:?#]*)(:\d+)?(.*)", value, re.IGNORECASE).groups("")
    host = _address(host, draw) if re.fullmatch(r"[0-9.]+", host) else host_like(host, draw, words)
    return f"{scheme}{host}{port}{_in_words(rest, draw, words, PATH)}"


def _phone(value: str, draw: Draw) -> str:
    """The same country and grouping; a valid number stays one where a few draws find one."""
    import phonenumbers

    def parsed(number: str) -> phonenumbers.PhoneNumber | None:
        try:
            return phonenumbers.parse(re.sub(r"^00", "+", number), "US")
        except phonenumbers.NumberParseException:
            return None

    number = parsed(value)
    code = len(str(number.country_code)) if number and re.match(r"\+|00", value) else 1 if re.match(r"1[\-. ]", value) else 0
    kept = code + 2 * value.startswith("00")
    made = _digits_after(value, kept, draw)
    if not number or not phonenumbers.is_valid_number(number):
        return made
    others = (_digits_after(value, kept, draw) for _ in range(REDRAWS))
    return next((other for other in others if (n := parsed(other)) and phonenumbers.is_valid_number(n)), made)


def _digits_after(value: str, kept: int, draw: Draw) -> str:
    seen, made = 0, []
    for c in value:
        seen += c.isdigit()
        zero = c == "0" and seen <= kept + 1
        made.append(c if not c.isdigit() or seen <= kept or zero else draw.choice("23456789" if seen == kept + 1 else "0123456789"))
    return "".join(made)


def _card(value: str, draw: Draw) -> str:
    from stdnum import luhn

    number = digits(value)
    issuer = ISSUERS.match(number)
    body = number[: issuer.end() if issuer else 1]
    body += "".join(draw.choice("0123456789") for _ in range(len(number) - len(body) - 1))
    return _refill(value, body + luhn.calc_check_digit(body))


def _refill(value: str, characters: str) -> str:
    """The letters and digits of a value replaced by these, its separators kept."""
    following = iter(characters)
    return "".join(next(following) if c.isalnum() else c for c in value)


def _iban(value: str, draw: Draw) -> str:
    from stdnum.iso7064 import mod_97_10

    plain = re.sub(r"\W", "", value)
    account = like(plain[4:], draw)
    check = mod_97_10.calc_check_digits(account.upper() + plain[:2].upper())
    return _refill(value, plain[:2] + check + account)


def _ssn(value: str, draw: Draw) -> str:
    area = 1 + draw.below(899)
    return _refill(value, f"{area if area != 666 else 667:03}{1 + draw.below(99):02}{1 + draw.below(9999):04}")


def _address(value: str, draw: Draw) -> str:
    """An address of the same version in a private range (RFC 1918, RFC 4193)."""
    if "." in value and ":" not in value:
        return f"10.{draw.below(256)}.{draw.below(256)}.{1 + draw.below(254)}"
    groups = value.split(":")
    made = [like(group, draw, hexadecimal=True) for group in groups]
    made[0] = "fd"[: len(groups[0])] + made[0][2:]
    made = [("123456789abcdef"[int(group[0], 16) % 15] + group[1:]) if group and at else group for at, group in enumerate(made)]
    made = ":".join(made)
    return made.upper() if value.isupper() else made


def _mac(value: str, draw: Draw) -> str:
    made = like(value, draw, hexadecimal=True)
    made = made.upper() if value.upper() == value else made
    return made[0] + ("2" if made[1] not in "26aeAE" else made[1]) + made[2:]  # locally administered


def _national_id(value: str, draw: Draw) -> str:
    for _, module in (*PLAIN_IDS, *((form, module) for _, form, module in ANNOUNCED_IDS)):
        valid = valid_by(module)
        if valid(value):
            return next((made for made in (like(value, draw) for _ in range(400)) if valid(made)), like(value, draw))
    return like(value, draw)


def _vehicle(value: str, draw: Draw) -> str:
    if len(value) != 17:
        return like(value, draw)
    made = re.sub("[IOQioq]", lambda m: {"I": "J", "O": "P", "Q": "R"}[m[0].upper()], like(value, draw)).upper()
    return made[:8] + vin_check(made) + made[9:]


def _payment(value: str, draw: Draw) -> str:
    head = re.match(r"(?:[A-Za-z]+[_\-])*", value)[0]
    return head + like(value[len(head) :], draw)


def _coordinates(value: str, draw: Draw) -> str:
    """Other degrees within the bounds, as many digits."""
    return re.sub(r"(\d+)", lambda m: _degrees(m, draw), value)


def _degrees(match: re.Match, draw: Draw) -> str:
    number, fraction = match[0], match.start() > 0 and match.string[match.start() - 1] == "."
    if fraction:
        return "".join(draw.choice("0123456789") for _ in number)
    low, high = {1: (1, 9), 2: (10, 59), 3: (100, 179)}[min(len(number), 3)]
    return str(low + draw.below(high - low + 1))


def secret_like(kind: str, value: str, draw: Draw) -> str:
    """The same frame and alphabet: prefix, separators and the lines around a key block stay."""
    drawn = secrets.drawn_parts(kind, value)
    if drawn:
        pieces, position = [], 0
        for start, end, alphabet in drawn:
            pieces += value[position:start], "".join(_of_alphabet(c, alphabet, draw) for c in value[start:end])
            position = end
        return "".join((*pieces, value[position:]))
    if value.startswith("-----BEGIN"):
        lines = value.split("\n")
        return "\n".join(line if line.startswith("-----") or ": " in line else like(line, draw) for line in lines)
    if value.startswith("eyJ"):
        return ".".join(part[:3] + like(part[3:], draw) if part.startswith("eyJ") else like(part, draw) for part in value.split("."))
    return like(value, draw, hexadecimal=len(value) >= 16 and bool(re.fullmatch(r"[0-9a-f\-]+", value)))


def _of_alphabet(c: str, alphabet: str, draw: Draw) -> str:
    """Separators stay, digits become digits and letters letters of the same case; hexadecimal digits are drawn from all sixteen."""
    if not c.isalnum():
        return c
    if "a" in alphabet and set(alphabet) <= set(string.hexdigits):
        return draw.choice("0123456789abcdef" if c.islower() or c.isdigit() else "0123456789ABCDEF")
    return draw.choice([x for x in alphabet if x.isdigit() == c.isdigit() and x.isupper() == c.isupper() and x.isalnum()])


FORMS = {
    "PHONE": _phone,
    "CARD": _card,
    "IBAN": _iban,
    "SSN": _ssn,
    "IP": _address,
    "MAC": _mac,
    "NATIONAL_ID": _national_id,
    "VEHICLE": _vehicle,
    "PAYMENT_ID": _payment,
    "COORDINATES": _coordinates,
    "DATE_OF_BIRTH": date_like,
}
FORMS_OF_WORDS = {"USER": _in_words, "DOMAIN": _url}
