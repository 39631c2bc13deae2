"""Rules for structured personal data, each with the validation that its kind has.

What looks alike must stay: order numbers, dates, versions, hashes, UUIDs, timestamps, arithmetic.
"""

import ipaddress
import re

import phonenumbers
from stdnum import iban, luhn
from stdnum.us import ssn

from slm_pipeline.s2_curate.rules import Rule, Text

PHONE_REGIONS = ("US", "GB", "DE", "FR", "IN", "CN")  # tried for numbers without +, which a word like "phone" must announce
PHONE_WORDS = re.compile(
    r"((?<!i)phone|mobile|\bcell|\btel|\bfax|whatsapp|call me|reach me|text me|my number|contact number|手机|电话)[^\n]{0,25}$",
    re.IGNORECASE,
)
DATE = re.compile(r"(19|20)\d\d([-./ ])[01]?\d\2|[0-3]?\d([-./])[01]?\d\3(19|20)\d\d")
VERSION_WORDS = re.compile(r"(version|release|\bv|\bver\.?|[<>=~]=|section|chapter)\s*$", re.IGNORECASE)
ISSUERS = re.compile(r"(4|5[1-5]|2[2-7]|3[47]|6011|64[4-9]|65|62|30[0-5]|36|38|35(2[89]|[3-8]))")
LENGTHS = {"4": (13, 16, 19), "34": (15,), "37": (15,), "36": (14,), "38": (14,), "30": (14,), "62": (16, 17, 18, 19)}
LOCAL = r"[^\x00-\x20\"'()<>\[\]{},:;@\\/=|`!?*&$#^~]"  # of an address; letters of any script
LABEL = r"[^\x00-\x20!-,/:-@\[-`{-~.]"
FILES = ("png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "py", "md", "html")


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
    return _alone(text, start, end) and is_card(re.sub(r"\D", "", text[start:end]))


def _alone(text: Text, start: int, end: int) -> bool:
    """Not a piece of a longer number, UUID, path or identifier."""
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return not re.search(r"[\w.\-/+]$", before) and not re.match(r"[\w/]|[.\-]\w", after)


def _ssn(text: Text, start: int, end: int) -> bool:
    return _alone(text, start, end) and ssn.is_valid(text[start:end])


def _ip(text: Text, start: int, end: int) -> bool:
    try:
        address = ipaddress.ip_address(text[start:end])
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address.is_multicast or str(address).startswith("255."):
        return False
    before, after = text[max(0, start - 12) : start], text[end : end + 2]
    whole = not re.search(r"[\w.:]$", before) and not re.match(r"[\w:]\w|\.\w|\w", after)
    if address.version == 6:
        # slices and scopes of program text ("a::b", "1::2") parse as addresses too
        found = text[start:end]
        return whole and any(c.isdigit() for c in found) and (found.find(":") == 4 or "::" not in found)
    return whole and not VERSION_WORDS.search(before)


def _mac(text: Text, start: int, end: int) -> bool:
    separators = {c for c in text[start:end] if c in ":-"}
    return len(separators) == 1 and not re.search(r"[\w:\-]$", text[:start][-1:]) and not re.match(r"[\w:\-]\w", text[end : end + 2])


def _iban(text: Text, start: int, end: int) -> bool:
    return iban.is_valid(text[start:end])


def _phone(text: Text, start: int, end: int) -> bool:
    number, before = text[start:end], text[max(0, start - 40) : start]
    if DATE.search(number) or re.search(r"[\w.\-/]$", before) or re.match(r"[\w/]|[.\-]\w", text[end : end + 2]):
        return False
    if number.startswith("+"):
        return _valid(number, None)
    return bool(PHONE_WORDS.search(before)) and any(_valid(number, region) for region in PHONE_REGIONS)


def _valid(number: str, region: str | None) -> bool:
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(number, region))
    except phonenumbers.NumberParseException:
        return False


RULES = (
    Rule("EMAIL", rf"{LOCAL}+@{LABEL}+(?:\.{LABEL}+)*\.[A-Za-z]{{2,24}}", _email),
    Rule("IBAN", r"(?i)\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", _iban),
    Rule("CARD", r"[0-9]{4}([ \-])[0-9]{4}[ \-][0-9]{4}[ \-][0-9]{1,7}|[0-9]{4}[ \-][0-9]{6}[ \-][0-9]{4,5}|[0-9]{13,19}", _card),
    Rule("SSN", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _ssn),
    Rule("MAC", r"(?:[0-9A-Fa-f]{2}[:\-]){5}[0-9A-Fa-f]{2}", _mac),
    Rule("IP", r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}", _ip),
    Rule("PHONE", r"\+?[(0-9][0-9 ().\-]{5,60}[0-9]", _phone),
)
