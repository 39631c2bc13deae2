"""Arguments mean the same as their schema says: ids exactly, numbers within a tolerance, dates as dates, text by similarity."""

import json
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from slm_pipeline.arguments import agreement, same
from slm_pipeline.settings import Leeway

LEEWAY = Leeway()
NAMES = ("order_id", "orderId", "day", "message", "city", "count", "tags", "place", "other")
DATES = ("2024-05-04", "4 May 2024", "05/04/2024", "27/04/2024", "15:30", "3:30 pm", "2024-05-04T00:00:00Z")

strings = st.text(max_size=8) | st.sampled_from(DATES) | st.integers(0, 30).map(str)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=6,
)
types = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null"])
plain_schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": types | st.lists(types, min_size=1, max_size=2, unique=True),
        "description": st.sampled_from(["MM/DD/YYYY", "DD/MM/YYYY", "free text", "a set of names, unordered", "anything"]),
        "format": st.sampled_from(["date", "date-time", "uuid"]),
        "enum": st.lists(strings, min_size=1, max_size=2),
        "uniqueItems": st.booleans(),
        "default": values,
    },
)
schemas = st.recursive(
    plain_schemas | st.none(),
    lambda inner: (
        st.builds(lambda plain, items: plain | {"items": items}, plain_schemas, inner)
        | st.builds(lambda plain, of: plain | {"properties": of}, plain_schemas, st.dictionaries(st.sampled_from(NAMES), inner, max_size=3))
        | st.builds(lambda branches: {"anyOf": branches}, st.lists(inner.filter(bool), min_size=1, max_size=2))
    ),
    max_leaves=5,
)


@given(values, schemas, st.sampled_from(NAMES))
def test_a_value_means_the_same_as_itself(value, schema, name):
    assert same(value, json.loads(json.dumps(value)), schema, LEEWAY, name)


@given(values, values, schemas, st.sampled_from(NAMES))
def test_which_value_comes_first_does_not_matter(one, other, schema, name):
    assert same(one, other, schema, LEEWAY, name) == same(other, one, schema, LEEWAY, name)


@given(values, values, schemas, st.sampled_from(NAMES))
def test_a_wider_leeway_never_sets_apart(one, other, schema, name):
    narrow, wide = Leeway(number=0, text=1), Leeway(number=0.2, text=0.5)
    assert same(one, other, schema, wide, name) or not same(one, other, schema, narrow, name)


@given(st.lists(values, max_size=4), st.randoms(), st.sampled_from([{"uniqueItems": True}, {"description": "the order does not matter"}]))
def test_a_list_without_order_may_be_shuffled(items, order, schema):
    shuffled = list(items)
    order.shuffle(shuffled)
    assert same(items, shuffled, schema, LEEWAY)
    assert same(items, [*shuffled[1:], "another"], schema, LEEWAY) == (bool(items) and same(shuffled[0], "another", {}, LEEWAY))


@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.randoms())
def test_a_list_has_an_order_unless_its_schema_says_otherwise(items, order):
    shuffled = list(items)
    order.shuffle(shuffled)
    assert same(items, shuffled, {"type": "array", "description": "steps to take"}, LEEWAY) == (items == shuffled)


@given(st.integers(-(10**30), 10**30), st.integers(-(10**30), 10**30))
def test_whole_numbers_are_exact_however_large(one, other):
    assert same(one, other, {"type": "number"}, LEEWAY) == (one == other)
    assert same(str(one), other, {"type": "integer"}, LEEWAY) == (one == other)


@given(st.floats(1e-6, 1e6), st.floats(0, 1e-3))
def test_other_numbers_have_a_relative_tolerance(value, off):
    assume(abs(off - LEEWAY.number) > 1e-9)
    assert same(value, value * (1 + off), {"type": "number"}, LEEWAY) == (off <= LEEWAY.number or value * (1 + off) == value)


@given(
    st.text("0123456789abcdefABCDEF-", min_size=1, max_size=12), st.sampled_from(["order_id", "userId", "code", "reservationCode", "url"])
)
def test_an_id_is_exact(text, name):
    assume(text.upper() != text.lower())
    assert not same(text.upper(), text.lower(), {"type": "string"}, LEEWAY, name)


WORDS = [f"{first}{second}" for first in ("ba", "de", "li", "mo", "ru") for second in ("ner", "sal", "tok", "vim")]


@given(st.lists(st.sampled_from(WORDS), min_size=8, max_size=14), st.sampled_from(["message", "emailBody", "review"]), st.integers(0, 7))
def test_free_text_may_differ_a_little_but_not_in_numbers_or_negations(words, name, place):
    text = " ".join(words)
    assert same(text, text + ".", {"type": "string"}, LEEWAY, name)
    for told in ("not", "3", "40"):
        changed = " ".join([*words[:place], told, *words[place:]])
        assert not same(text, changed, {"type": "string"}, LEEWAY, name)


@given(st.dictionaries(st.sampled_from(NAMES), st.integers(0, 3) | st.booleans(), max_size=6), st.sampled_from(NAMES))
def test_one_wrong_argument_is_told_by_its_name(arguments, name):
    found = agreement(arguments, {**arguments, name: "wrong"}, {}, LEEWAY)
    assert [argument for argument, right in found.items() if not right] == [name]


def test_a_default_deep_inside_counts_as_said():
    schema = {"$ref": "#/$defs/place", "$defs": {"place": {"properties": {"country": {"default": "US"}, "city": {}}}}}
    assert same({"city": "Reno"}, {"city": "reno", "country": "US"}, schema, LEEWAY)
    assert not same({"city": "Reno"}, {"city": "Reno", "country": "CA"}, schema, LEEWAY)


@pytest.mark.parametrize("schema", [None, True, [], {"$ref": "#/nowhere"}, {"items": [{}]}, {"properties": []}, {"anyOf": [{"$ref": "#"}]}])
def test_a_schema_that_says_nothing_leaves_the_values_as_they_are(schema):
    assert same([1, "a", {"b": None}], [1, "a", {"b": None}], schema, LEEWAY)
    assert not same([1, "a", {"b": None}], [1, "a", {"b": 0}], schema, LEEWAY)


def test_long_lists_are_compared_within_reach():
    items = [{"n": i} for i in range(120)]
    shuffled = random.Random(7).sample(items, len(items))
    assert same(items, shuffled, {"uniqueItems": True}, LEEWAY)
