import random
import uuid
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slm_pipeline.s2_curate.redact.names.tagger import find_names


def found(text):
    return [(text[start:end], kind) for start, end, kind in find_names(text)]


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("Hello, my name is Annika Holmberg and I lost my card.", "Annika Holmberg", "PERSON"),
        ("hello, my name is annika holmberg and i lost my card.", "annika holmberg", "PERSON"),
        ("Mary's order was cancelled by the shop.", "Mary", "PERSON"),
        ("Please ask Dr. Kowalczyk about the results.", "Kowalczyk", "PERSON"),
        ('{"passengers": [{"first_name": "Ingrid", "last_name": "Sørensen"}]}', "Sørensen", "PERSON"),
        ("Agent: May I have your name?\nCustomer: Tobias Lindqvist", "Tobias Lindqvist", "PERSON"),
        ("We moved from Rotterdam last spring.", "Rotterdam", "LOCATION"),
        ("She was born in Zimbabwe.", "Zimbabwe", "LOCATION"),
        ("I used to work for Hartmann & Weiss GmbH.", "Hartmann & Weiss GmbH", "ORGANIZATION"),
        (
            "Please send it to 742 Maple Grove Road, Apt. 12, Springfield, IL 62704.",
            "742 Maple Grove Road, Apt. 12, Springfield, IL 62704",
            "ADDRESS",
        ),
        ("My new address is Lindenstraße 14, 50674 Köln, Germany", "Lindenstraße 14, 50674 Köln, Germany", "ADDRESS"),
        ("Ship to: P.O. Box 415, Nuuk, Greenland", "P.O. Box 415, Nuuk, Greenland", "ADDRESS"),
    ],
)
def test_names_are_found_in_ordinary_texts(text, name, kind):
    assert (name, kind) in found(text)


def test_a_signature_is_found_line_by_line():
    text = "Kind regards,\nHelena Novotná\nHead of Sales\nBrightwater Logistics Ltd\n18 Station Road\nLeeds\nLS1 4DY, UK"
    words = " ".join(value for value, _ in found(text))
    assert all(part in words for part in ("Helena Novotná", "Brightwater Logistics", "18 Station Road", "Leeds", "LS1 4DY"))
    assert "regards" not in words


@pytest.mark.parametrize(
    "text",
    [
        "How do I reset my password? The delivery has not arrived yet.",
        "## Requirement Analysis\n- Write the unit tests first\n- Use Python and PostgreSQL",
        "def merge(left, right):\n    return sorted(left + right)  # Stable order",
        "2026-03-01T12:00:00Z INFO [worker-3] Finished 12 jobs in 340 ms",
        "Input: 4 6 7 9\nPossible next steps:\n4 + 6 = 10 (left: 7 9 10)\n9 - 7 = 2 (left: 2 4 6)",
        "On Monday the manager will mark the English exam, and in May the results are due.",
        '{"status": "delivered", "items": [{"sku": "AB-1029", "count": 2}], "paid": true}',
        "Output only valid JSON. Do not add explanations. You are a careful Code Reviewer.",
        "请根据上下文填写以下内容，注意保持格式一致。",
    ],
)
def test_ordinary_text_holds_no_names(text):
    assert found(text) == []


def test_identifiers_are_no_names():
    rng = random.Random(5)
    for _ in range(200):
        number = uuid.UUID(int=rng.getrandbits(128))
        assert found(f"{number} {number.hex} {rng.randbytes(20).hex()} 2024-05-{rng.randint(1, 28):02}T11:02:07Z") == []


def test_mail_addresses_and_urls_are_left_to_their_rules():
    assert found("see https://example.org/anna/holmberg or write to anna.holmberg@example.org") == []


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=300))
def test_finds_are_sorted_inside_and_apart(text):
    finds = find_names(text)
    assert all(0 <= f.start < f.end <= len(text) for f in finds)
    assert all(a.end <= b.start for a, b in pairwise(finds))


def test_what_is_found_does_not_depend_on_how_long_the_text_is():
    sentence = "My name is Annika Holmberg. The parcel never came.\n"
    many = found(sentence * 2000)
    assert many == [("Annika Holmberg", "PERSON")] * 2000


@pytest.mark.parametrize(
    "text", ["a" * 10**6, "\n" * 10**5, "A" * 500_000, "Ab " * 50_000, "." * 10**5, "a@" * 50_000, "ab://" * 20_000, "́" * 10**6]
)
def test_hostile_texts_come_to_an_end(text):
    assert all(f.end <= len(text) for f in find_names(text))
