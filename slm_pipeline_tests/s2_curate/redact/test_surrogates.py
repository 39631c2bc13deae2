import re
from datetime import date
from ipaddress import ip_address

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iban, luhn
from stdnum.us import ssn

from slm_pipeline.s2_curate.redact.dates import date_like, date_of
from slm_pipeline.s2_curate.redact.draws import Draw
from slm_pipeline.s2_curate.redact.identifiers import valid_by, vin_check
from slm_pipeline.s2_curate.redact.stand_ins import StandIns


def of(kind, value, scope="session s", key="key", agent="a"):
    return StandIns(key, agent, "surrogates").of(kind, value, scope)


@pytest.mark.parametrize("number", ["+1 415-555-2671", "+49 30 901820", "0044 20 7946 0018", "+33 6 12 34 56 78", "+91 98765 43210"])
def test_a_telephone_number_keeps_country_and_grouping_and_stays_valid(number):
    made = of("PHONE", number)
    before, after = (phonenumbers.parse(n.replace("00", "+", 1) if n.startswith("00") else n, None) for n in (number, made))
    assert re.sub(r"\d", "0", made) == re.sub(r"\d", "0", number)
    assert after.country_code == before.country_code
    assert phonenumbers.is_valid_number(after) or not phonenumbers.is_valid_number(before)
    assert made != number


@pytest.mark.parametrize("number", ["4111 1111 1111 1111", "3782-822463-10005", "5555555555554444", "6011000990139424"])
def test_a_card_keeps_issuer_and_grouping_and_has_a_check_digit(number):
    made = of("CARD", number)
    assert luhn.is_valid(re.sub(r"\D", "", made))
    assert re.sub(r"\d", "0", made) == re.sub(r"\d", "0", number)
    assert made[0] == number[0]
    assert made != number


@pytest.mark.parametrize("account", ["GB29 NWBK 6016 1331 9268 19", "DE89370400440532013000", "fr1420041010050500013m02606"])
def test_an_iban_keeps_its_country_and_has_check_digits(account):
    made = of("IBAN", account)
    assert iban.is_valid(made, check_country=False)
    assert made[:2] == account[:2]
    assert [c.isalpha() for c in made] == [c.isalpha() for c in account]
    assert made != account


@given(st.integers(0, 10**6))
def test_social_security_numbers_are_of_the_form_that_is_assigned(seed):
    assert ssn.is_valid(of("SSN", "816-25-1400", scope=str(seed)))


@given(st.ip_addresses())
def test_an_ip_address_becomes_a_private_one_of_its_version(address):
    made = ip_address(of("IP", str(address)))
    assert made.version == address.version
    assert made.is_private or address.version == 6


@pytest.mark.parametrize(
    ("value", "module"),
    [
        ("12345678Z", "es.dni"),
        ("44051401359", "pl.pesel"),
        ("390.533.447-05", "br.cpf"),
        ("RCCMNL83S18D969H", "it.codicefiscale"),
        ("943 476 5870", "gb.nhs"),
    ],
)
def test_a_national_id_has_check_digits_where_it_had(value, module):
    made = of("NATIONAL_ID", value)
    assert valid_by(module)(made)
    assert made != value


def test_a_vehicle_number_has_its_check_digit():
    made = of("VEHICLE", "1HGCM82633A004352")
    assert vin_check(made) == made[8]


@given(st.dates(date(1920, 1, 1), date(2025, 12, 31)))
def test_a_date_of_birth_stays_a_date_and_all_its_spellings_agree(day):
    spellings = [day.isoformat(), f"{day:%B} {day.day}, {day.year}", f"{day.day} {day:%b} {day.year}"]
    made = [date_of(date_like(spelling, Draw(b"key", day.isoformat()))) for spelling in spellings]
    assert len(set(made)) == 1
    assert date(*made[0])
    assert abs(made[0][0] - day.year) < 5


@pytest.mark.parametrize(
    "spelling", ["12/15/1995", "15.12.1995", "1995/12/15", "3 March 1980", "Mar 3rd, 1980", "OCTOBER 31, 1999", "1999年3月4日"]
)
def test_a_date_keeps_its_spelling(spelling):
    made = date_like(spelling, Draw(b"key", spelling))
    assert re.sub(r"\d+(st|nd|rd|th)?", "0", re.sub("[a-z]+", "x", re.sub("[A-Z]+", "X", made))) == re.sub(
        r"\d+(st|nd|rd|th)?", "0", re.sub("[a-z]+", "x", re.sub("[A-Z]+", "X", spelling))
    )
    assert date_of(made)


def test_a_url_keeps_its_shape():
    made = of("DOMAIN", "https://www.Shoe-Shop.co.uk:8443/api/v1/users/17?ref=mia")
    assert re.fullmatch(r"https://www\.[A-Z][a-z]+-[A-Z][a-z]+\.co\.uk:8443/api/v1/users/\d\d\?[a-z]+=[a-z]+", made)


def test_names_keep_case_script_and_what_is_no_name():
    assert of("PERSON", "MIA LI") == of("PERSON", "Mia Li").upper()
    assert of("PERSON", "mia li") == of("PERSON", "Mia Li").lower()
    assert re.fullmatch("[А-Яа-яё]+ [А-Яа-яё]+", of("PERSON", "Иван Петров"))
    assert re.fullmatch("[一-鿿]{3}", of("PERSON", "王小明"))
    assert re.fullmatch(r"\d{3} \w+ Street\n *Suite \d{3}", of("ADDRESS", "281 Spruce Street\n Suite 942"))
    assert re.fullmatch(r"\w+ University of \w+ Inc", of("ORGANIZATION", "Spruce University of Ulm Inc"))


def test_a_word_is_replaced_alike_in_all_values_of_an_agent():
    stand_ins = StandIns("key", "a", "surrogates")
    first, last = stand_ins.of("PERSON", "Mia Li", "session s").split()
    assert stand_ins.of("PERSON", "Mia", "session t") == first
    assert stand_ins.of("USER", "mia_li_3668", "session s").startswith(f"{first}_{last}_".lower())
    assert stand_ins.of("EMAIL", "Mia.Li@example.com", "session s").startswith(f"{first}.{last}@")
    assert of("PERSON", "Mia Li", agent="b") != f"{first} {last}"


@given(st.sampled_from(["PERSON", "USER", "ZIP", "ACCOUNT", "SECRET"]), st.text(min_size=3, max_size=30))
def test_any_value_has_another_stand_in_that_only_the_key_repeats(kind, value):
    made = of(kind, value)
    assert made == of(kind, value)
    assert made != value or sum(c.isalnum() for c in value) < 3


def test_thousands_of_values_of_a_session_get_as_many_stand_ins():
    stand_ins = StandIns("key", "a", "surrogates")
    mails = [f"user{n:06}@example.com" for n in range(3_000)]
    cards = [f"gift_card_{n:07}" for n in range(3_000)]
    assert len({stand_ins.of("EMAIL", mail, "session s") for mail in mails}) == 3_000
    assert len({stand_ins.of("PAYMENT_ID", card, "session s") for card in cards}) == 3_000


def test_no_stand_in_is_one_of_the_originals():
    stand_ins = StandIns("key", "a", "surrogates")
    first = stand_ins.of("PERSON", "Mia", "session s")
    other = StandIns("key", "a", "surrogates")
    other.avoid(["Mia", first])
    assert other.of("PERSON", "Mia", "session s") not in ("Mia", first)
