import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s2_curate.redaction import Redaction, find, leaks

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
    ("postgres://app:s3cr3t@db/x", "CREDENTIALS", "app:s3cr3t"),
    ("key AKIAIOSFODNN7EXAMPLE", "TOKEN", "AKIAIOSFODNN7EXAMPLE"),
    ("ghp_" + "a1B2" * 9, "TOKEN", "ghp_" + "a1B2" * 9),
    ("sk-proj-" + "a1B2" * 9, "TOKEN", "sk-proj-" + "a1B2" * 9),
    ("Authorization: Bearer abcdefgh12345678", "TOKEN", "abcdefgh12345678"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1", "JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1"),
    ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "PRIVATE_KEY", None),
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
]


@pytest.mark.parametrize(("text", "kind", "value"), FOUND)
def test_personal_data_and_secrets_are_found_exactly(text, kind, value):
    finds = find(text)
    assert [f.kind for f in finds] == [kind]
    if value:
        assert text[finds[0].start : finds[0].end] == value


@pytest.mark.parametrize("text", UNTOUCHED)
def test_lookalikes_stay(text):
    assert [(f.kind, text[f.start : f.end]) for f in find(text)] == []


def test_two_numbers_in_a_row_are_two_finds():
    text = "phone 415-555-2671 212-555-0187"
    assert [text[f.start : f.end] for f in find(text)] == ["415-555-2671", "212-555-0187"]


def request(*messages, **more):
    return {"model": "m", "messages": [{"role": role, "content": content} for role, content in messages], **more}


def test_a_value_has_one_stand_in_in_request_answer_and_outcome_also_inside_json():
    asked = request(("user", "I am jo@example.com"), ("tool", '{"mail": "JO@example.com", "n": 4111111111111111, "b": [1,  2]}'))
    arguments = '{"to":"jo@example.com", "text": "say \\"hi\\" to\\njo@example.com"}'
    gold = {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "send", "arguments": arguments}}]}
    outcome = {"gold": gold, "accepted_values": {"to": ["jo@example.com"]}}
    redaction = Redaction(asked, "a", "s", "key", also=(outcome,))
    redacted, told = redaction.request(asked), redaction.message(outcome["gold"])
    (stand_in,) = re.findall(r"\[EMAIL_[0-9a-f]{4}\]", redacted["messages"][0]["content"])
    result = redacted["messages"][1]["content"]
    assert re.fullmatch(r'\{"mail": "\[EMAIL_....\]", "n": "\[CARD_....\]", "b": \[1,  2\]\}', result)
    assert json.loads(result)["mail"] == stand_in
    assert json.loads(told["tool_calls"][0]["function"]["arguments"]) == {"to": stand_in, "text": f'say "hi" to\n{stand_in}'}
    assert told["tool_calls"][0]["function"]["name"] == "send"
    assert redaction.data(outcome["accepted_values"]) == {"to": [stand_in]}


def test_a_value_found_once_is_replaced_where_its_context_is_missing():
    asked = request(("user", "call me at 415-555-2671"))
    redaction = Redaction(asked, "a", "s", "key")
    (stand_in,) = re.findall(r"\[PHONE_....\]", redaction.request(asked)["messages"][0]["content"])
    assert redaction.data({"contact": "415-555-2671", "order": "1415-555-2671"}) == {"contact": stand_in, "order": "1415-555-2671"}


def test_a_key_gives_context_to_its_value():
    redaction = Redaction(request(), "a", "s", "key", also=({"user_phone": "4155552671", "newPassword": "hunter2!x"},))
    redacted = redaction.data({"user_phone": "4155552671", "newPassword": "hunter2!x", "n": 4155552671})
    assert [value if isinstance(value, int) else value[1:-6] for value in redacted.values()] == ["PHONE", "SECRET", 4155552671]


def stand_in(session="s", agent="a", role="user", key="key"):
    asked = request((role, "jo@example.com"))
    return Redaction(asked, agent, session, key).request(asked)["messages"][0]["content"]


def test_stand_ins_are_stable_in_a_session_and_unlinkable_between_sessions():
    assert stand_in() == stand_in()
    assert stand_in() != stand_in(session="t")
    assert stand_in() != stand_in(key="other")


def test_a_static_system_message_looks_the_same_in_all_sessions_of_an_agent():
    assert stand_in(role="system") == stand_in(role="system", session="t") != stand_in(role="system", agent="b")


def test_keys_roles_names_and_tools_are_never_touched():
    tools = [{"type": "function", "function": {"name": "f", "description": "mail a@example.com", "parameters": {"type": "object"}}}]
    asked = request(("user", "a@example.com"), tools=tools)
    asked["messages"][0]["name"] = "a@example.com"
    redacted = Redaction(asked, "a", "s", "key").request(asked)
    assert redacted["tools"] == tools
    assert redacted["messages"][0]["name"] == "a@example.com"
    assert redacted["messages"][0]["content"] != "a@example.com"
    assert leaks(redacted) == []


def test_nothing_found_means_nothing_changed():
    asked = request(("user", UNTOUCHED[0]))
    assert Redaction(asked, "a", "s", "key").request(asked) == asked


pieces = st.sampled_from([text for text, *_ in FOUND] + UNTOUCHED + ['"', "\\", "{", "[", " ", "\n", "é", "😀"])


@given(st.lists(pieces | st.text(max_size=5), max_size=6).map("".join))
def test_redacted_text_holds_no_finds_and_quoted_json_stays_json(text):
    asked = request(("user", text), ("tool", json.dumps({"a": text, "b": [text, 1]})))
    redacted = Redaction(asked, "a", "s", "key").request(asked)
    assert set(json.loads(redacted["messages"][1]["content"])) == {"a", "b"}
    assert leaks(redacted) == []
