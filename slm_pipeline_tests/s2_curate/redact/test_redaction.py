import json
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s2_curate.redact.detection import find_structured
from slm_pipeline.s2_curate.redact.redaction import PLACEHOLDERS, Redaction, find

FOUND = [
    ("write to Jo.Doe+x@mail.example.org.", "EMAIL", "Jo.Doe+x@mail.example.org"),
    ("müller@bücher.de", "EMAIL", "müller@bücher.de"),
    (r'quoted "a\nbob@example.com"', "EMAIL", "bob@example.com"),
    ("ring +1 415-555-2671 today", "PHONE", "+1 415-555-2671"),
    ("My phone number is (415) 555-2671.", "PHONE", "(415) 555-2671"),
    ("Mobile: 07700 900123", "PHONE", "07700 900123"),
    ("tel: 020 7946 0018", "PHONE", "020 7946 0018"),
    ("IBAN GB29 NWBK 6016 1331 9268 19 AND MORE", "IBAN", "GB29 NWBK 6016 1331 9268 19"),
    ("to DE89370400440532013000 please", "IBAN", "DE89370400440532013000"),
    ("my iban is gb29nwbk60161331926819", "IBAN", "gb29nwbk60161331926819"),
    ("card 4111 1111 1111 1111 exp", "CARD", "4111 1111 1111 1111"),
    ("amex 3782-822463-10005", "CARD", "3782-822463-10005"),
    ("5555555555554444", "CARD", "5555555555554444"),
    ("SSN 536-90-4399", "SSN", "536-90-4399"),
    ("from 203.0.113.7, port 22", "IP", "203.0.113.7"),
    ("host 2001:db8::ff00:42:8329 down", "IP", "2001:db8::ff00:42:8329"),
    ("nic 00:1B:44:11:3A:B7", "MAC", "00:1B:44:11:3A:B7"),
    ("see https://www.Shoe-Shop.co.uk/my/cart?id=7.", "DOMAIN", "https://www.Shoe-Shop.co.uk/my/cart?id=7"),
    ("postgres://app:s3cr3t@db/x", "CREDENTIALS", "app:s3cr3t"),
    ("Authorization: Bearer abcdefgh12345678", "BEARER_TOKEN", "abcdefgh12345678"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1", "JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1"),
    ("my password is hunter2!x, ok", "SECRET", "hunter2!x"),
    ("DB_PASSWORD=tr0ub4dor&3", "SECRET", "tr0ub4dor&3"),
    ('"api_key": "0a1b2c3d4e5f"', "SECRET", "0a1b2c3d4e5f"),
]

UNTOUCHED = [
    "order 1234567890 of 2024-05-15 15:00:00 EST, reservation EUJUY6, flight HAT136",
    "2 + 8 = 10 (left: 8 10 14)\n14 /  2 = 7 (left: 7 8 8)\n10 - 2.25 = 7.75 (left: 7.75)",
    "Input: 4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    "550e8400-e29b-41d4-a716-446655440000 and 41111111-1111-1111-4111-111111111111",
    "sha 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0bb3a1e3b6b5c2e5b1d9f0, ts 1716000011123, 1716000011",
    "version 1.2.3.4 of v10.20.30.40, pip install x==1.2.3.4, http://127.0.0.1:8080, 0.0.0.0, mask 255.255.255.0",
    "def f(x): return a::b, x[1::2], std::vector, dead::beef, 12:30:45",
    "from 2024-01-02 to 2024-01-09, iPhone 3GS bought 2022-03-04, phone bought on 12/31/2023",
    "password = request.form['password']; token: str = get_token(); api_key=YOUR_API_KEY_1; password is required; max_tokens: 4096",
    r"quoted code: \n@app.route('/x') and \n+@app.route('/y'), git@github.com:a/b.git, icon@2x.png",
    "0.4111111111111111, 4111111111111112, id_4111111111111111",
    "price +1234, -12345, (2024) 12.05, 1e10, $1,234,567.89",
    "see section 1.2.3.4 and 1.2.3.4.5",
    "weights [0.1234, -0.5678, 0.9101], file.py, main.rs and utils.io, step_one_123",
    'xmlns="http://www.w3.org/2000/svg", "$schema": "https://json-schema.org/draft/2020-12/schema"',
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_personal_data_and_secrets_are_found_exactly(text, kind, value):
    assert [(f.kind, text[f.start : f.end]) for f in find_structured(text)] == [(kind, value)]


@pytest.mark.parametrize("text", UNTOUCHED)
def test_lookalikes_stay(text):
    assert [(f.kind, text[f.start : f.end]) for f in find_structured(text)] == []


def test_two_numbers_in_a_row_are_two_finds():
    text = "phone 415-555-2671 212-555-0187"
    assert [text[f.start : f.end] for f in find_structured(text)] == ["415-555-2671", "212-555-0187"]


def test_names_are_found_beside_what_rules_find():
    text = "My name is Maria Schneider and my mail is m.s@example.com."
    assert {f.kind: text[f.start : f.end] for f in find(text)} == {"PERSON": "Maria Schneider", "EMAIL": "m.s@example.com"}


def request(*messages, **more):
    return {"model": "m", "messages": [{"role": role, "content": content} for role, content in messages], **more}


def redacted_text(text, role="user", session="s", agent="a", key="key", form="surrogates"):
    asked = request((role, text))
    return Redaction(asked, agent, session, key, form=form).request(asked)["messages"][0]["content"]


def test_a_value_has_one_stand_in_in_request_answer_and_outcome_also_inside_json():
    asked = request(("user", "I am jo@example.com"), ("tool", '{"mail": "JO@example.com", "n": 4111111111111111, "b": [1,  2]}'))
    arguments = '{"to":"jo@example.com", "text": "say \\"hi\\" to\\njo@example.com"}'
    gold = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "send", "arguments": arguments}}]}
    outcome = {"gold": gold, "accepted_values": {"to": ["jo@example.com"]}}
    redaction = Redaction(asked, "a", "s", "key", also=(outcome,))
    redacted, told = redaction.request(asked), redaction.message(outcome["gold"])
    stand_in = redacted["messages"][0]["content"].removeprefix("I am ")
    assert re.fullmatch(r"[a-z]+@[a-z]+\.com", stand_in)
    assert stand_in != "jo@example.com"
    result = redacted["messages"][1]["content"]
    assert re.fullmatch(r'\{"mail": "[A-Z]+@[a-z]+\.com", "n": 4\d{15}, "b": \[1,  2\]\}', result)
    assert json.loads(result)["mail"].lower() == stand_in
    assert json.loads(result)["n"] != 4111111111111111
    assert json.loads(told["tool_calls"][0]["function"]["arguments"]) == {"to": stand_in, "text": f'say "hi" to\n{stand_in}'}
    assert told["tool_calls"][0]["function"]["name"] == "send"
    assert redaction.data(outcome["accepted_values"]) == {"to": [stand_in]}


def test_a_value_found_once_is_replaced_where_its_context_is_missing():
    asked = request(("user", "call me at 0415 555 267"))
    redaction = Redaction(asked, "a", "s", "key")
    stand_in = redaction.request(asked)["messages"][0]["content"].removeprefix("call me at ")
    assert re.fullmatch(r"\d{4} \d{3} \d{3}", stand_in)
    assert redaction.data({"contact": "0415 555 267", "order": "10415 555 267"}) == {"contact": stand_in, "order": "10415 555 267"}


def test_keys_give_context_to_their_values():
    values = {
        "first_name": "Ayşe",
        "dob": "1990-02-11",
        "address1": "Hauptmarkt 7",
        "zip": "90210",
        "user_phone": "4155552671",
        "newPassword": "hunter2!x",
        "payment_methods": {"gift_card_7480005": {"id": "gift_card_7480005"}},
        "n": 4155552671,
        "created": "2024-02-11",
        "title": "soup",
    }
    redaction = Redaction(request(), "a", "s", "key", also=(values,))
    redacted = redaction.data(values)
    assert redacted["n"] == 4155552671
    assert redacted["created"] == "2024-02-11"
    assert redacted["title"] == "soup"
    assert {key for key in values if redacted[key] != values[key]} == set(values) - {"n", "created", "title"}
    (card,) = redacted["payment_methods"]
    assert re.fullmatch(r"gift_card_\d{7}", card)
    assert redacted["payment_methods"][card] == {"id": card}
    assert set(redaction.counts) == {"PERSON", "DATE_OF_BIRTH", "ADDRESS", "ZIP", "PHONE", "SECRET", "PAYMENT_ID"}


def test_a_first_name_a_user_id_and_a_mail_address_follow_the_full_name():
    profile = '{"name": {"first_name": "Mia", "last_name": "Li"}, "email": "mia.li3668@example.com", "user_id": "mia_li_3668"}'
    asked = request(("user", "I'm mia_li_3668."), ("tool", profile), ("assistant", "Thank you, Mia! So Mia Li flies, MIA LI pays."))
    messages = Redaction(asked, "a", "s", "key").request(asked)["messages"]
    made = json.loads(messages[1]["content"])
    first, last = made["name"]["first_name"], made["name"]["last_name"]
    assert (first, last) != ("Mia", "Li")
    assert re.fullmatch(rf"{first.lower()}\.{last.lower()}\d{{4}}@[a-z]+\.com", made["email"])
    assert re.fullmatch(rf"{first.lower()}_{last.lower()}_\d{{4}}", made["user_id"])
    assert messages[0]["content"] == f"I'm {made['user_id']}."
    assert messages[2]["content"].startswith(f"Thank you, {first}! So {first} {last} flies")


def test_names_that_are_ordinary_words_are_replaced_as_names_only():
    asked = request(("tool", '{"first_name": "Will", "last_name": "Young"}'), ("user", "Will the Young team come? Will Young pays."))
    redaction = Redaction(asked, "a", "s", "key")
    told = redaction.request(asked)["messages"]
    made = json.loads(told[0]["content"])
    assert made["first_name"] != "Will"
    assert told[1]["content"].startswith("Will the ")
    assert told[1]["content"].endswith(f"{made['first_name']} {made['last_name']} pays.")


def test_stand_ins_are_stable_in_a_session_and_unlinkable_between_sessions():
    text = "my card is 4111 1111 1111 1111"
    assert redacted_text(text) == redacted_text(text)
    assert redacted_text(text) != redacted_text(text, session="t")
    assert redacted_text(text) != redacted_text(text, key="other")


def test_what_may_stand_in_a_template_looks_the_same_in_all_sessions_of_an_agent():
    mail, name = "Mails go to jo7@example.com.", "My name is Maria Schneider."
    assert redacted_text(mail, "system") == redacted_text(mail, "system", session="t")
    assert redacted_text(mail, "system") != redacted_text(mail, "system", agent="b")
    assert redacted_text(name) == redacted_text(name, session="t")
    assert redacted_text(name) != redacted_text(name, agent="b")


def test_keys_roles_names_tools_and_listed_values_are_never_touched():
    parameters = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}}}
    tools = [{"type": "function", "function": {"name": "f", "description": "mail a@example.com", "parameters": parameters}}]
    asked = request(("user", "a@example.com"), ("tool", '{"city": "Paris"}'), ("tool", '{"city": "Lyon"}'), tools=tools)
    asked["messages"][0]["name"] = "a@example.com"
    redaction = Redaction(asked, "a", "s", "key")
    redacted = redaction.request(asked)
    assert redacted["tools"] == tools
    assert redacted["messages"][0]["name"] == "a@example.com"
    assert redacted["messages"][0]["content"] != "a@example.com"
    assert redacted["messages"][1]["content"] == '{"city": "Paris"}'
    assert "Lyon" not in redacted["messages"][2]["content"]
    assert redaction.left(redacted) == Counter()


def test_an_argument_stands_where_it_stood_before():
    arguments = {"file": "Hamburg and Berlin-trip.docx", "to": "Maria Schneider (sales)"}
    asked = request(("user", "put hamburg things in Hamburg and Berlin-trip.docx, tell Maria Schneider (sales)"))
    redaction = Redaction(asked, "a", "s", "key", also=(arguments,))
    told, made = redaction.request(asked)["messages"][0]["content"], redaction.data(arguments)
    assert made["to"] != arguments["to"]
    assert made["to"] in told
    assert made["file"] in told


def test_nothing_found_means_nothing_changed():
    asked = request(("user", UNTOUCHED[1]))
    assert Redaction(asked, "a", "s", "key").request(asked) == asked


def test_placeholders_say_the_kind_and_redacting_them_again_changes_nothing():
    text = "Mail jo@example.com, password: hunter2!x"
    placed = redacted_text(text, form=PLACEHOLDERS)
    assert re.fullmatch(r"Mail \[EMAIL_[0-9a-f]{4}\], password: \[SECRET_[0-9a-f]{4}\]", placed)
    assert redacted_text(placed, form=PLACEHOLDERS) == placed
    assert redacted_text(placed) == placed


def test_left_counts_what_a_careless_hand_leaves():
    asked = request(("user", "I am jo@example.com, call me at 0415 555 267"))
    redaction = Redaction(asked, "a", "s", "key")
    redacted = redaction.request(asked)
    assert redaction.left(redacted) == Counter()
    assert redaction.left(asked)["EMAIL"] >= 1
    assert redaction.left({"note": "0415 555 267"}) == Counter({"PHONE": 1})
    assert redaction.left({"note": "a new one: al@example.com"}) == Counter({"EMAIL": 1})


pieces = st.sampled_from([text for text, *_ in FOUND] + UNTOUCHED + ['"', "\\", "{", "[", " ", "\n", "é", "😀"])


@given(st.lists(pieces | st.text(max_size=5), max_size=6).map("".join), st.sampled_from(["surrogates", "placeholders"]))
def test_redacted_text_holds_no_finds_and_quoted_json_stays_json(text, form):
    asked = request(("user", text), ("tool", json.dumps({"a": text, "b": [text, 1]})))
    redaction = Redaction(asked, "a", "s", "key", form=form)
    redacted = redaction.request(asked)
    assert set(json.loads(redacted["messages"][1]["content"])) == {"a", "b"}
    assert redaction.left(redacted) == Counter()


def test_stand_ins_of_values_that_stood_without_a_gap_are_known_as_such():
    asked = request(("user", "müller@bücher.de" * 3))
    redaction = Redaction(asked, "a", "s", "key")
    assert "bücher" not in redaction.request(asked)["messages"][0]["content"]
    assert redaction.left(redaction.request(asked)) == Counter()
