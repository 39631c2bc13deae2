import base64
import random
import uuid
from datetime import UTC, datetime

import pytest

from slm_pipeline.bench.redact import lookalikes
from slm_pipeline.s2_curate.redact.detection import PREFILTER, find_structured
from slm_pipeline.s2_curate.redact.fields import kind_by_key
from slm_pipeline.s2_curate.redact.identifiers import ANNOUNCED_IDS, PLAIN_IDS, valid_by

PHONES = [
    ("reach us: (760)514-1109", "(760)514-1109"),
    ("+1-962-819-8200 fax", "+1-962-819-8200"),
    ("at 730.347.5681x8340 now", "730.347.5681x8340"),
    ("line 001-846-853-9089x92556", "001-846-853-9089x92556"),
    ("Telefon: 22 498317", "22 498317"),
    ("92 34 70-Office", "92 34 70"),
    ("They're not answering at (88) 684-334", "(88) 684-334"),
    ("+49 30 901820", "+49 30 901820"),
    ("mi móvil es 612 345 678", "612 345 678"),
    ("电话 010-6552 9988", "010-6552 9988"),
    ("fax +81 3-3224-9999", "+81 3-3224-9999"),
]
RECORDS = [
    ("My driver's license number is U62928788557186", "DRIVER_LICENSE", "U62928788557186"),
    ("passport no. C01X00T47", "PASSPORT", "C01X00T47"),
    ("Medical record number: MRN-0045821", "MEDICAL_RECORD", "MRN-0045821"),
    ("her insurance policy number is XK-4428-119", "HEALTH_PLAN", "XK-4428-119"),
    ("account number 12345678", "ACCOUNT", "12345678"),
    ("certificate number 889-2201-7", "CERTIFICATE", "889-2201-7"),
    ("VIN 1HGCM82633A004352", "VEHICLE", "1HGCM82633A004352"),
    ("the 1M8GDM9AXKP042788 was sold", "VEHICLE", "1M8GDM9AXKP042788"),
    ("license plate: B-MW 1234", "VEHICLE", "B-MW 1234"),
    ("serial number SN-99812-A7", "DEVICE", "SN-99812-A7"),
    ("IMEI 490154203237518", "DEVICE", "490154203237518"),
    ("Here's my SSN: 816-25-1400", "SSN", "816-25-1400"),
    ("social security number is 536904399", "SSN", "536904399"),
    ("my user id is mia_li_3668, ok", "USER", "mia_li_3668"),
    ("I paid by credit_card_4421486.", "PAYMENT_ID", "credit_card_4421486"),
    ("zip code: 90210", "ZIP", "90210"),
    ("She was born on 12/15/1995.", "DATE_OF_BIRTH", "12/15/1995"),
    ("DOB: 3 March 1980", "DATE_OF_BIRTH", "3 March 1980"),
    ("meet at 48.85837, 2.29448 at noon", "COORDINATES", "48.85837, 2.29448"),
    ("""at 40° 26' 46" N""", "COORDINATES", """40° 26' 46" N"""),
    ("Unit 8411 Box 3596\nDPO AP 34698", "ADDRESS", "Unit 8411 Box 3596\nDPO AP 34698"),
    ("sent to PSC 4457, Box 7534 APO AP 95145 again", "ADDRESS", "PSC 4457, Box 7534 APO AP 95145"),
    ("to 281 Spruce Street, Suite 942 please", "ADDRESS", "281 Spruce Street, Suite 942"),
    ("in 12 Rue des Archives.", "ADDRESS", "12 Rue des Archives"),
    ("nach Lindenstraße 14a fahren", "ADDRESS", "Lindenstraße 14a"),
    ("en Calle de Alcalá 45", "ADDRESS", "Calle de Alcalá 45"),
    ("write to P.O. Box 255 only", "ADDRESS", "P.O. Box 255"),
]
IDS = {
    "fr.nir": "insee 2 95 10 99 126 111 93",
    "de.idnr": "Steuer-ID 36 574 261 809",
    "nl.bsn": "BSN 1112.22.333",
    "be.nn": "national number 85.07.30-033 28",
    "pl.pesel": "PESEL 44051401359",
    "se.personnummer": "personnummer 880320-0016",
    "dk.cpr": "CPR 211062-5629",
    "no.fodselsnummer": "fødselsnummer 151086 95088",
    "br.cpf": "CPF 390.533.447-05",
    "in_.aadhaar": "Aadhaar 2341 2341 2346",
    "in_.pan": "PAN ACUPA7085R",
    "gb.nhs": "NHS number 943 476 5870",
    "au.tfn": "TFN 123 456 782",
    "ca.sin": "SIN 123-456-782",
    "ie.pps": "PPS 6433435F",
    "ch.ssn": "AHV 756.9217.0769.85",
    "cz.rc": "rodné číslo 710319/2745",
    "ro.cnp": "CNP 1630615123457",
    "gr.amka": "AMKA 01013099997",
    "tr.tckimlik": "TC kimlik 17291716060",
    "za.idnr": "identity number 7503305044089",
    "us.itin": "ITIN 912-90-3456",
    "hr.oib": "OIB 33392005961",
    "bg.egn": "EGN 7523169263",
    "ee.ik": "isikukood 36805280109",
    "il.idnr": "teudat zehut 39337423",
    "es.dni": "54362315-K",
    "es.nie": "X-2482300W",
    "it.codicefiscale": "RCCMNL83S18D969H",
    "fi.hetu": "131052-308T",
    "cn.ric": "360426199101010071",
    "mx.curp": "BOXW310820HNERXN09",
    "kr.rrn": "971013-9019902",
}


@pytest.mark.parametrize(("text", "number"), PHONES)
def test_telephone_numbers_of_any_region_are_found(text, number):
    assert [(f.kind, text[f.start : f.end]) for f in find_structured(text)] == [("PHONE", number)]


@pytest.mark.parametrize(("text", "kind", "value"), RECORDS)
def test_identifiers_and_addresses_are_found(text, kind, value):
    assert (kind, value) in [(f.kind, text[f.start : f.end]) for f in find_structured(text)]


@pytest.mark.parametrize("module", [module for *_, module in (*ANNOUNCED_IDS, *PLAIN_IDS)])
def test_national_ids_are_found_and_one_with_a_wrong_digit_is_not(module):
    text = IDS[module]
    finds = [f for f in find_structured(text) if f.kind == "NATIONAL_ID"]
    assert len(finds) == 1
    value = text[finds[0].start : finds[0].end]
    assert valid_by(module)(value)
    at = max(i for i, c in enumerate(value[:-1]) if c.isdigit())
    others = (value[:at] + digit + value[at + 1 :] for digit in "0123456789")
    wrong = next((other for other in others if not valid_by(module)(other)), None)
    assert wrong is None or (finds[0].start, finds[0].end, "NATIONAL_ID") not in find_structured(text.replace(value, wrong))


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("firstName", "Ayşe", "PERSON"),
        ("customer_name", "Ayşe Öz", "PERSON"),
        ("city", "Ulm", "LOCATION"),
        ("dob", "1990-01-31", "DATE_OF_BIRTH"),
        ("user_id", "jdoe", "USER"),
        ("latitude", "48.8583", "COORDINATES"),
        ("first_name", "string", None),
        ("city", "", None),
        ("title", "Ayşe", None),
        ("address1", "<your street>", None),
        ("zip", "none", None),
    ],
)
def test_an_unmistakable_key_tells_the_kind(key, value, kind):
    assert kind_by_key(key, value) == kind


def test_ids_hashes_base64_and_timestamps_raise_no_alarms():
    alarms = [(value, text) for value, text in lookalikes(11, 20_000) if find_structured(text) or find_structured(value, "value")]
    assert len(alarms) <= 100  # of 20,000


def test_arithmetic_is_never_altered():
    rng = random.Random(3)
    for _ in range(300):
        numbers = " ".join(str(rng.randint(1, 13)) for _ in range(rng.randint(4, 40)))
        line = f"Input: {numbers}\n{rng.randint(1, 99)} * {rng.randint(1, 99)} = {rng.randint(1, 9999)} (left: {numbers})"
        assert find_structured(line) == ()


def test_a_record_of_a_log_keeps_its_ids_and_times():
    rng = random.Random(5)
    now = datetime(2026, 10, 3, 9, 30, 11, 250000, UTC)
    text = (
        f'{{"id": "{uuid.UUID(int=rng.getrandbits(128), version=4)}", "ts": {now.timestamp()}, "at": "{now.isoformat()}", '
        f'"blob": "{base64.b64encode(rng.randbytes(90)).decode()}", "commit": "{rng.getrandbits(160):040x}", "took_ms": 1250}}'
    )
    assert find_structured(text) == ()


def test_every_rule_looks_at_hostile_text_a_bounded_number_of_times():
    """Checks are called once for each match and for each word of it: their number grows with the text, not with its square."""
    for piece in ("1-", "+1 ", "4111 ", "12:ab:", "1.2.", "a@b.c ", "(1) ", "9 Rue ", "password=x1 ", "GB29 "):
        checks = [sum(_checks(piece * (size // len(piece)))) for size in (4_000, 16_000)]
        assert checks[1] <= 4.5 * checks[0] + 50, piece


def _checks(text):
    for rule in PREFILTER.rules_for(text):
        calls = []

        def counting(text, start, end, calls=calls, check=rule.check):
            calls.append(end - start)
            return check(text, start, end)

        list(type(rule)(rule.kind, rule.pattern, counting, rule.group).spans(text))
        yield len(calls)
        yield sum(calls) // 100
