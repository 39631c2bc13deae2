"""Rules for identity and record numbers: national ids with check digits, and numbers that a word announces.

The kinds of numbers are HIPAA's identifiers (45 CFR 164.514(b)(2)); check digits are those of python-stdnum.
"""

import re
from collections.abc import Callable
from importlib import import_module

from slm_pipeline.s2_curate.redact.rules import Rule, Text, alone, digits

# words that announce an id, its form, and the module of python-stdnum that validates it
ANNOUNCED_IDS = (
    (r"insee|num[eé]ro de s[eé]curit[eé] sociale|\bnir\b", r"[12][0-9 ]{10,20}[0-9]", "fr.nir"),
    (r"steuer[\w\-]*|\bidnr\b|\btin\b|tax id", r"[1-9][0-9 ]{9,13}[0-9]", "de.idnr"),
    (r"\bbsn\b|burgerservicenummer|sofinummer", r"[0-9][0-9.\- ]{6,10}[0-9]", "nl.bsn"),
    (r"rijksregisternummer|registre national|national number|\bnn\b", r"[0-9]{2}[0-9.\- ]{8,12}[0-9]", "be.nn"),
    (r"pesel", r"[0-9]{11}", "pl.pesel"),
    (r"personnummer|personal (?:identity )?number|samordningsnummer", r"(?:[0-9]{2})?[0-9]{6}[\-+ ]?[0-9]{4}", "se.personnummer"),
    (r"\bcpr\b|cpr-nummer|personnummer", r"[0-9]{6}[\- ]?[0-9]{4}", "dk.cpr"),
    (r"f[oø]dselsnummer|personnummer|national id", r"[0-9]{6} ?[0-9]{5}", "no.fodselsnummer"),
    (r"\bcpf\b", r"[0-9]{3}[.\- ]?[0-9]{3}[.\- ]?[0-9]{3}[.\- ]?[0-9]{2}", "br.cpf"),
    (r"aadhaar|\buidai\b|\buid\b", r"[2-9][0-9]{3}[ \-]?[0-9]{4}[ \-]?[0-9]{4}", "in_.aadhaar"),
    (r"\bpan\b|permanent account", r"[A-Z]{5}[0-9]{4}[A-Z]", "in_.pan"),
    (r"\bnhs\b|national health service", r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{4}", "gb.nhs"),
    (r"\btfn\b|tax file", r"[0-9]{2,3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}", "au.tfn"),
    (r"\bsin\b|social insurance", r"[0-9]{3}[ \-]?[0-9]{3}[ \-]?[0-9]{3}", "ca.sin"),
    (r"\bpps\b|ppsn|personal public service", r"[0-9]{7}[A-Z]{1,2}", "ie.pps"),
    (r"\bahv\b|\bavs\b|sozialversicherungsnummer", r"756[. ]?[0-9]{4}[. ]?[0-9]{4}[. ]?[0-9]{2}", "ch.ssn"),
    (r"rodn[eé] [cč][ií]slo|birth number", r"[0-9]{6}/?[0-9]{3,4}", "cz.rc"),
    (r"\bcnp\b|cod numeric personal", r"[1-9][0-9]{12}", "ro.cnp"),
    (r"\bamka\b|αμκα", r"[0-9]{11}", "gr.amka"),
    (r"t\.?c\.? ?kimlik|\btckn\b|kimlik", r"[1-9][0-9]{10}", "tr.tckimlik"),
    (r"\bzaf? id|south african id|\bid number|identity number|\brsa id", r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}", "za.idnr"),
    (r"\bitin\b", r"9[0-9]{2}[ \-]?[0-9]{2}[ \-]?[0-9]{4}", "us.itin"),
    (r"\boib\b", r"[0-9]{11}", "hr.oib"),
    (r"\begn\b|\bегн\b", r"[0-9]{10}", "bg.egn"),
    (r"isikukood|asmens kod\w+", r"[1-6][0-9]{10}", "ee.ik"),
    (r"teudat zehut|תעודת זהות", r"[0-9]{8,9}", "il.idnr"),
)
# ids whose form and check digit say enough
PLAIN_IDS = (
    (r"\b[0-9]{8}-?[A-Z]\b", "es.dni"),
    (r"\b[XYZ]-?[0-9]{7}-?[A-Z]\b", "es.nie"),
    (
        r"\b[A-Za-z]{6}[0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{2}[A-Za-z][0-9LMNPQRSTUVlmnpqrstuv]{3}[A-Za-z]\b",
        "it.codicefiscale",
    ),
    (r"\b[0-3][0-9][01][0-9]{3}[\-+A-FU-Y][0-9]{3}[0-9A-Y]\b", "fi.hetu"),
    (r"\b[1-9][0-9]{16}[0-9Xx]\b", "cn.ric"),
    (r"\b[A-Z][AEIOUX][A-Z]{2}[0-9]{6}[HM][A-Z]{5}[0-9A-Z][0-9]\b", "mx.curp"),
    (r"\b[0-9]{6}-[0-9]{7}\b", "kr.rrn"),
)
NUMBER = r"(?:[ \-]?(?:numbers?|nummer|num[eé]ro|n[uú]mero|no\.?|nr\.?|num|id|code|#))?"
LINK = r"[\"']?(?:\s{0,2}[:#=]\s{0,2}#?|\s(?:is|was|are|reads|with|of)[: ]\s?|\s)[\"'`]?"
CODE = r"([A-Z0-9](?:[A-Z0-9]|[\-./ ][A-Z0-9]){3,24})"
RECORDS = (
    ("DRIVER_LICENSE", ("licen", "führerschein", "permis", "patente", "rijbewijs", "prawo jazdy", "dl"),
     r"driv(?:er|ing)(?:'?s?'?|’s)? licen[cs]e|licencia de (?:conducir|manejo)|f[uü]hrerschein|permis de conduire|patente di guida"
     r"|rijbewijs|prawo jazdy|\bdl(?: number| no\.?|#|:)"),
    ("PASSPORT", ("passport", "reisepass", "passeport", "pasaporte", "护照", "passaporto", "paspoort"),
     r"passport|reisepass|passeport|pasaporte|passaporto|paspoort|护照号?码?"),
    ("MEDICAL_RECORD", ("medical", "mrn", "patient", "chart", "health record"),
     r"medical record|\bmrn|patient (?:id|number|no)|patient chart|chart (?:number|no)|health record"),
    ("HEALTH_PLAN", ("health", "member", "insur", "medicare", "medicaid", "policy", "beneficiary", "subscriber", "krankenvers"),
     r"health (?:plan|card|insurance)|member (?:id|number|no)|insurance (?:policy|id|member|card)|medicare|medicaid|policy (?:number|no)"
     r"|beneficiary (?:id|number|no)|subscriber (?:id|number|no)|krankenversicherten"),
    ("ACCOUNT", ("account", "acct", "a/c", "routing", "sort code", "kontonummer", "cuenta", "compte"),
     r"(?:bank |checking |savings |customer |brokerage )?(?:account|acct)|\ba/c|routing|sort code|konto|cuenta|compte bancaire"),
    ("CERTIFICATE", ("certificate", "licen"),
     r"certificate|(?:professional|medical|nursing|business|state) licen[cs]e|licen[cs]e (?:number|no)"),
    ("VEHICLE", ("plate", "vin", "kennzeichen", "registration", "matr", "vehicle", "chassis"),
     r"(?:licen[cs]e|number|registration) plate|\bplate|\bvin|kennzeichen|vehicle (?:id|identification|registration)|chassis"),
    ("DEVICE", ("serial", "imei", "imsi", "udid", "meid", "device id", "s/n"),
     r"serial|\bimei|\bimsi|\budid|\bmeid|device (?:id|identifier)|\bs/n"),
    ("NATIONAL_ID", ("national", "identity", "nino", "ni number", "id card", "dni", "curp", "身份证", "ausweis"),
     r"national (?:id|identity|insurance)|identity (?:card|document)|\bnino|\bni number|\bid card|身份证号?码?|personalausweis"),
)  # fmt: skip
SSN_WORDS = ("ssn", "social sec", "social-sec", "social_sec", "s.s.n")
_STATE_CODES = (
    "AL AK AZ AR CA CO CT DE FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN "
    "TX UT VT VA WA WV WI WY DC PR GU VI AA AE AP "
)
STATES = _STATE_CODES.split()
VIN_VALUES = {
    **{str(d): d for d in range(10)},
    **dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", (1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 7, 9, 2, 3, 4, 5, 6, 7, 8, 9), strict=True)),
}
VIN_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def _needs(words: str) -> tuple[str, ...]:
    """For each alternative of a pattern without nested ones, its longest piece that every match holds."""
    plain = (re.sub(r"\\.|\[[^\]]*\][*+?]?|\(\?:[^)]*\)\?|.\?", " ", word).lower() for word in words.split("|"))
    return tuple(max(re.findall(r"[^\W\d_]+", word), key=len) for word in plain)


def valid_by(module: str) -> Callable[[str], bool]:
    """The validation of an id by its module of python-stdnum, which is imported when first needed."""
    return lambda value: import_module(f"stdnum.{module}").is_valid(value.upper() if module != "ch.ssn" else value)


def vin_check(value: str) -> str:
    """The check digit of a vehicle identification number (49 CFR 565.15)."""
    rest = sum(VIN_VALUES[c] * weight for c, weight in zip(value.upper(), VIN_WEIGHTS, strict=True)) % 11
    return "X" if rest == 10 else str(rest)


def _validated(module: str) -> Callable[[Text, int, int], bool]:
    valid = valid_by(module)
    return lambda text, start, end: alone(text, start, end) and valid(text[start:end])


def _plain_id(text: Text, start: int, end: int) -> bool:
    value = text[start:end]
    return alone(text, start, end) and any(re.fullmatch(form, value) and valid_by(module)(value) for form, module in PLAIN_IDS)


def _vin(text: Text, start: int, end: int) -> bool:
    value = text[start:end]
    mixed = any(c.isalpha() for c in value) and sum(c.isdigit() for c in value) >= 5
    return mixed and alone(text, start, end) and vin_check(value) == value[8].upper()


def _record(text: Text, start: int, end: int) -> bool:
    value = text[start:end]
    return (
        len(digits(value)) >= max(4, len(value) // 3)
        and _whole(text, start, end)
        and not re.match(r"(19|20)\d\d[-/. ]\d\d?[-/. ]\d\d?\b", value)
    )


def _plate(text: Text, start: int, end: int) -> bool:
    value = text[start:end]
    return (
        bool(digits(value)) and any(c.isalpha() for c in value) and value.upper() == value and len(value) <= 17 and _whole(text, start, end)
    )


def _whole(text: Text, start: int, end: int) -> bool:
    return not re.match(r"\w|[\-@/.]\w", text[end : end + 2])


def _ssn(text: Text, start: int, end: int) -> bool:
    """Area, group and serial as the Social Security Administration assigns them (20 CFR 422.103)."""
    area, group, serial = re.split(r"\D", text[start:end])
    return alone(text, start, end) and area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def _user(text: Text, start: int, end: int) -> bool:
    value = text[start:end]
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and value[-1].isalnum()


def _named_user(text: Text, start: int, end: int) -> bool:
    from slm_pipeline.s2_curate.redact.pools import given_names

    return text[start:end].split("_")[0] in given_names() and alone(text, start, end)


def _token(text: Text, start: int, end: int) -> bool:
    return any(c.isdigit() for c in text[start:end]) and any(c.isupper() for c in text[start:end])


RULES = (
    Rule("SSN", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _ssn, digits=9),
    Rule(
        "SSN",
        r"(?i)(?:\bssn|\bs\.s\.n\.?|social[ \-_]sec[a-z]*)[^\n0-9]{0,30}?([0-9]{3}[\- ]?[0-9]{2}[\- ]?[0-9]{4})\b",
        group=1,
        needs=SSN_WORDS,
        digits=9,
    ),
    Rule("NATIONAL_ID", "|".join(form for form, _ in PLAIN_IDS), _plain_id, digits=7),
    *(
        Rule("NATIONAL_ID", rf"(?i)(?:{words})[^\n0-9]{{0,24}}?\b({form})\b", _validated(module), 1, _needs(words), digits=4)
        for words, form, module in ANNOUNCED_IDS
    ),
    *(Rule(kind, rf"(?i)(?:{words}){NUMBER}{LINK}{CODE}", _record, group=1, needs=needs, digits=4) for kind, needs, words in RECORDS),
    Rule(
        "VEHICLE",
        rf"(?i)(?:licen[cs]e|number|registration) plate{NUMBER}{LINK}([A-Z0-9]{{1,8}}(?:[ \-][A-Z0-9]{{1,5}}){{0,3}})",
        _plate,
        group=1,
        needs=("plate",),
    ),
    Rule("VEHICLE", r"\b[A-HJ-NPR-Z0-9]{8}[0-9X][A-HJ-NPR-Z0-9]{8}\b", _vin, digits=5),
    Rule(
        "PAYMENT_ID",
        r"\b(?:credit_card|debit_card|gift_card|certificate|paypal|bank_account|voucher|payment_method|payment)_[0-9]{4,16}\b",
        digits=5,
    ),
    Rule("PAYMENT_ID", r"\b(?:pm|card|ba|src|cus|pi|ch|seti|py|re)_[A-Za-z0-9]{14,32}\b", _token, needs=("_",), digits=1),
    Rule(
        "USER",
        rf"(?i)\b(?:user[ _\-]?(?:id|name)|login(?: name)?){LINK}([\w][\w.\-]{{2,39}})",
        _user,
        group=1,
        needs=("user", "login"),
        digits=5,
    ),
    Rule("USER", r"\b[a-z]{2,20}_[a-z]{2,20}_[0-9]{2,6}\b", _named_user, needs=("_",), digits=2),
    Rule(
        "ZIP",
        r"(?i)\b(?:zip|postal|post)[ _\-]?code[\"']?(?:\s{0,2}[:=]\s{0,2}|\s(?:is|of)\s|\s)[\"']?"
        r"([0-9]{5}(?:-[0-9]{4})?|[A-Z][A-Z0-9]{1,3} ?[0-9][A-Z0-9]{2}|[0-9]{3,4}[ \-]?[A-Z0-9]{2,4})\b",
        group=1,
        needs=("code",),
        digits=5,
    ),
    Rule("ZIP", rf"(?:, |\n ?)(?:{'|'.join(STATES)}),?\s{{1,2}}([0-9]{{5}}(?:-[0-9]{{4}})?)\b", group=1, digits=5),
)
