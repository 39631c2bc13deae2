"""Rules for structured personal data, each with the validation that its kind has.

What looks alike must stay: order numbers, dates, versions, hashes, UUIDs, timestamps, arithmetic.
"""

import ipaddress
import re

import phonenumbers
from stdnum import iban, luhn

from slm_pipeline.s2_curate.redact.rules import Rule, Text, alone, digits

PHONE_WORDS = (
    *("phone", "mobile", "cell", "tel", "fax", "whatsapp", "call ", "calling", "reach ", "text me", "my number", "contact number", "dial "),
    *(
        "answering at",
        "ring me",
        "pager",
        "hotline",
        "telefon",
        "telefoon",
        "teléfono",
        "téléphone",
        "móvil",
        "celular",
        "handy",
        "portable",
    ),
    *("puhelin", "телефон", "тел.", "τηλέφωνο", "手机", "电话", "電話", "携帯", "전화"),
)
PHONE_BEFORE = re.compile(
    r"((?<!i)phone|mobile|\bcell\b|\btel\b|\bfax|whatsapp|\bcall(?:ing)?(?: (?:me|us|him|her|them|back))?(?: (?:at|on|under))?[: ]|"
    r"reach (?:me|us|him|her|them|out)|text me|my number|contact number|\bdial\b|answering at|ring me|\bpager|hotline|telefon|telefoon|"
    r"tel[eé]fono|t[eé]l[eé]phone|m[oó]vil|celular|\bhandy|portable|puhelin|телефон|\bтел\b|τηλέφωνο|手机|电话|電話|携帯|전화)[^\n]{0,25}\Z",
    re.IGNORECASE,
)
PHONE_AFTER = re.compile(r"[ \-]{1,3}\(?(office|fax|mobile|cell|tel|phone)\)?(?=\s*($|[\n,;.\\]))", re.IGNORECASE)
PHONE_LABELS = ("office", "fax", "mobile", "cell", "tel", "phone")
EXTENSION = r"(?: ?(?:x|ext\.? ?|extension )[0-9]{1,6})?"
DATE = re.compile(r"\b(19|20)\d\d([-./ ])[01]?\d\2|\b[0-3]?\d([-./])[0-3]?\d\3(19|20)\d\d")
VERSION_WORDS = re.compile(r"(version|release|\bv|\bver\.?|[<>=~]=|section|chapter)\s*\Z", re.IGNORECASE)
ISSUERS = re.compile(r"(4|5[1-5]|2[2-7]|3[47]|6011|64[4-9]|65|62|30[0-5]|36|38|35(2[89]|[3-8]))")
CARD_WORDS = ("card", "cc", "karte", "carte", "tarjeta", "cartão", "kaart", "maestro", "visa", "卡号")
LENGTHS = {"4": (13, 16, 19), "34": (15,), "37": (15,), "36": (14,), "38": (14,), "30": (14,), "62": (16, 17, 18, 19)}
LOCAL = r"[^\x00-\x20\"'()<>\[\]{},:;@\\/=|`!?*&$#^~]"  # of an address; letters of any script
LABEL = r"[^\x00-\x20!-,/:-@\[-`{-~.]"
FILES = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "py", "md", "html")
NO_URL = r"\s\"'<>\\`{}|^\x00-\x20，。、；）】」"
URL = rf"(?i)\b(?:https?://|www\.)[^{NO_URL}]*[^{NO_URL}.,;:!?)\]*_…]"
SCHEMAS = re.compile(r"(?:https?://)?(?:www\.)?(?:w3\.org|json-schema\.org|schema\.org|xmlns\.com|purl\.org)\b", re.IGNORECASE)
HERE = re.compile(r"https?://(?:localhost|127\.|0\.0\.0\.0|\[::1?\])", re.IGNORECASE)
HOST = re.compile(r"(?:https?://)?(?:[^\s/@:?#]+\.[^\s/@:?#.]{2,24}|[0-9.]{7,15})\.?(?:[:/?#]|$)", re.IGNORECASE)
SITE_WORDS = ("website", "web site", "webpage", "homepage", "domain", "visit", "browse to", "my site", "our site", "hosted at", "my blog")
TLDS = (
    *("com", "org", "net", "edu", "gov", "info", "biz", "io", "ai", "app", "dev", "shop", "online", "site", "xyz", "eu", "co", "me", "tv"),
    *("uk", "de", "fr", "es", "it", "nl", "be", "ch", "at", "se", "no", "dk", "fi", "pl", "cz", "hu", "ro", "gr", "pt", "ie", "ru", "ua"),
    *("us", "ca", "mx", "br", "ar", "cl", "uy", "au", "nz", "za", "in", "cn", "jp", "kr", "sg", "hk", "tw", "tr", "il", "ae", "tn", "si"),
    *(
        "sk",
        "hr",
        "bg",
        "lt",
        "lv",
        "ee",
        "is",
        "id",
        "th",
        "vn",
        "ph",
        "my",
        "pk",
        "lu",
        "li",
        "rs",
        "pe",
        "ve",
        "sa",
        "eg",
        "ng",
        "ke",
        "ma",
    ),
)
WHERE = re.compile(r"(lat(itude)?|lon(gitude)?|lng|coordinates?|coords?|gps|geo\w*|position|located)\b[^\n]{0,20}\Z", re.IGNORECASE)
DEGREES = r"[0-9]{1,3} ?[°º] ?[0-9]{1,2} ?['′’] ?(?:[0-9]{1,2}(?:\.[0-9]+)? ?(?:\"|″|”|'') ?)?[NSEWnsew]\b"
MONTHS = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?"
    r"|dec(?:ember)?)"
)
ANY_DATE = (
    r"(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|[0-9]{1,2}[-/.][0-9]{1,2}[-/.](?:[0-9]{4}|[0-9]{2})|"
    rf"{MONTHS}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?,? [0-9]{{4}}|[0-9]{{1,2}}(?:st|nd|rd|th|\.)?(?: of)? {MONTHS}\.?,? [0-9]{{4}}|"
    r"[0-9]{4}年[0-9]{1,2}月[0-9]{1,2}日)"
)
BIRTH = ("born", "birth", "dob", "d.o.b", "geboren", "geburt", "né le", "née le", "nacimiento", "nacid", "nascita", "生日", "出生")


def _email(text: Text, start: int, end: int) -> bool:
    local, _, domain = text[start:end].rpartition("@")
    named = any(c.isalnum() for c in local) and local != "git"
    return named and not domain.lower().endswith(tuple(f".{kind}" for kind in FILES))


def is_card(number: str) -> bool:
    """Whether the digits are a payment card number: issuer, length and check digit."""
    if not ISSUERS.match(number):
        return False
    lengths = next((LENGTHS[number[:n]] for n in (2, 1) if number[:n] in LENGTHS), (16,))
    return len(number) in lengths and len(set(number)) > 1 and luhn.is_valid(number)


def _card(text: Text, start: int, end: int) -> bool:
    return alone(text, start, end) and is_card(digits(text[start:end]))


def _announced_card(text: Text, start: int, end: int) -> bool:
    """Of whatever issuer (ISO/IEC 7812): the word before and the check digit say enough."""
    number = digits(text[start:end])
    return 12 <= len(number) <= 19 and len(set(number)) > 1 and alone(text, start, end) and luhn.is_valid(number)


def _ip(text: Text, start: int, end: int) -> bool:
    try:
        address = ipaddress.ip_address(text[start:end])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast or str(address).startswith("255."):
        return False
    before, after = text[max(0, start - 12) : start], text[end : end + 2]
    whole = not re.search(r"[\w.:]\Z", before) and not re.match(r"[\w:]\w|\.\w|\w", after)
    if address.version == 6:
        # slices and scopes of program text ("a::b", "1::2") parse as addresses too
        found = text[start:end]
        return whole and any(c.isdigit() for c in found) and (found.find(":") == 4 or "::" not in found)
    return whole and not VERSION_WORDS.search(before)


def _mac(text: Text, start: int, end: int) -> bool:
    separators = {c for c in text[start:end] if c in ":-"}
    return (
        len(separators) == 1
        and not re.search(r"[\w:\-]\Z", text[max(0, start - 1) : start])
        and not re.match(r"[\w:\-]\w", text[end : end + 2])
    )


def _iban(text: Text, start: int, end: int) -> bool:
    return text[end - 1].isalnum() and iban.is_valid(text[start:end], check_country=False)


def _url(text: Text, start: int, end: int) -> bool:
    found = text[start:end]
    return bool(HOST.match(found)) and not HERE.match(found) and not SCHEMAS.match(found)


def _announced_domain(text: Text, start: int, end: int) -> bool:
    return text[max(0, start - 1) : start] not in ("@", "/") and text[end : end + 1] != "@" and not HERE.match("http://" + text[start:end])


def _plus_phone(text: Text, start: int, end: int) -> bool:
    """With a country code: valid, or written in groups and possible (ITU-T E.164), or announced."""
    number = text[start:end]
    if not _separate(text, start, end) or not 8 <= len(digits(number)) <= 21:
        return False
    if _is_announced(text, start, end):
        return True
    try:
        parsed = phonenumbers.parse(number, None)
    except phonenumbers.NumberParseException:
        return False
    grouped = re.search(r"\d[ ().\-/]+\d", number) and phonenumbers.is_possible_number(parsed)
    return bool(grouped) or phonenumbers.is_valid_number(parsed)


def _is_announced(text: Text, start: int, end: int) -> bool:
    return bool(PHONE_BEFORE.search(text[max(0, start - 40) : start]) or PHONE_AFTER.match(text[end : end + 12]))


def _separate(text: Text, start: int, end: int) -> bool:
    before, after = text[max(0, start - 2) : start], text[end : end + 12]
    return not re.search(r"[\w.\-/+]\Z", before) and (not re.match(r"[\w/]|[.\-]\w", after) or bool(PHONE_AFTER.match(after)))


def _north_american(text: Text, start: int, end: int) -> bool:
    """Ten digits in the grouping that only telephone numbers of +1 have; invented ones are redacted too."""
    return _separate(text, start, end)


def _announced_phone(text: Text, start: int, end: int) -> bool:
    """A number of a possible length (E.164) that a word like "phone" stands before or "fax" after."""
    number = text[start:end]
    if not 6 <= len(digits(re.split("[xe]", number)[0])) <= 15 or DATE.search(number) or not _separate(text, start, end):
        return False
    if re.search(r" [.\-/] |^\d+\.\d+\Z", number):
        return False
    return _is_announced(text, start, end)


def _coordinates(text: Text, start: int, end: int) -> bool:
    if not re.search(r",.*\d\Z", text[start:end]):
        return False
    latitude, longitude = (float(part) for part in text[start:end].split(","))
    before, after = text[max(0, start - 40) : start], text[end : end + 8]
    listed = re.search(r"[\d.]\s?[,;]?\s?\Z|\w\Z", before) or re.match(r"\s?[,;]?\s?-?\d|\w", after)
    if listed or abs(latitude) > 90 or abs(longitude) > 180:
        return False
    return max(abs(latitude), abs(longitude)) >= 10 or bool(WHERE.search(before))


RULES = (
    Rule("DOMAIN", URL, _url, needs=("http", "www.")),
    Rule(
        "DOMAIN",
        rf"(?i)(?:{'|'.join(SITE_WORDS)})[^\n]{{0,16}}?\b((?:[\p{{L}}0-9](?:[\p{{L}}0-9\-]{{0,61}}[\p{{L}}0-9])?\.)+(?:{'|'.join(TLDS)})(?:/[^{NO_URL}]*)?)\b",
        _announced_domain,
        group=1,
        needs=SITE_WORDS,
    ),
    Rule("EMAIL", rf"{LOCAL}+@{LABEL}+(?:\.{LABEL}+)*\.[A-Za-z]{{2,24}}", _email, needs=("@",)),
    Rule("IBAN", r"(?i)\biban\b[^\n0-9]{0,20}?\b([A-Z]{2}[0-9]{2}[A-Z0-9]{8,30})\b", group=1, needs=("iban",), digits=8),
    Rule("IBAN", r"(?i)\b[A-Z]{2}[0-9]{2}(?:[ \-]?[A-Z0-9]){11,30}\b", _iban, digits=8),
    Rule(
        "CARD",
        r"[0-9]{4}([ \-])[0-9]{4}[ \-][0-9]{4}[ \-][0-9]{1,7}|[0-9]{4}[ \-][0-9]{6}[ \-][0-9]{4,5}|[0-9]{13,19}",
        _card,
        digits=13,
    ),
    Rule(
        "CARD", rf"(?i)(?:{'|'.join(CARD_WORDS)})[^\n0-9]{{0,30}}?([0-9][0-9 \-]{{10,22}}[0-9])", _announced_card, 1, CARD_WORDS, digits=12
    ),
    Rule("MAC", r"(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2}", _mac, digits=1),
    Rule("IP", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", _ip, digits=1),
    Rule("DATE_OF_BIRTH", rf"(?i)(?:{'|'.join(map(re.escape, BIRTH))})[^\n0-9]{{0,30}}?({ANY_DATE})\b", group=1, needs=BIRTH, digits=4),
    Rule("COORDINATES", r"[+\-]?[0-9]{1,2}\.[0-9]{4,15} ?, ?[+\-]?[0-9]{1,3}\.[0-9]{4,15}", _coordinates, digits=10),
    Rule("COORDINATES", rf"{DEGREES}(?:[, ]{{1,2}}{DEGREES})?", needs=("°", "º")),
    Rule("PHONE", rf"\(?\+\(?[0-9][0-9 ().\-/]{{6,24}}[0-9]{EXTENSION}", _plus_phone, needs=("+",), digits=8),
    Rule("PHONE", rf"[(0-9][0-9 ().\-/]{{4,30}}[0-9]{EXTENSION}", _announced_phone, needs=PHONE_WORDS + PHONE_LABELS, digits=6),
    Rule(
        "PHONE",
        rf"(?:(?:\+?1|001)[\-. ])?(?:\([0-9]{{3}}\) ?[0-9]{{3}}[\-. ]|[0-9]{{3}}-[0-9]{{3}}-|[0-9]{{3}}\.[0-9]{{3}}\.)"
        rf"[0-9]{{4}}{EXTENSION}",
        _north_american,
        digits=10,
    ),
)
