"""Whatever happens to a record of any form, nothing raises, and the records around it are read as before.

`pytest --hypothesis-profile=soak` tries 500 mutations per form and test, above 20,000 in all.
"""

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slm_pipeline.records import AgentCall
from slm_pipeline.s1_collect.importers import BadLine, read_calls
from slm_pipeline_tests.s1_collect import forms
from slm_pipeline_tests.s1_collect.forms_spans import FORMS
from slm_pipeline_tests.s1_collect.test_importers import values


def whole_batch(number):
    return forms.batch_input(number) | {"response": forms.batch_output(number)["response"]}


RECORDS = {name: [form(n) for n in range(3)] for name, form in (FORMS | {"whole_batch": whole_batch}).items()}
mutated = settings(
    max_examples=settings.default.max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
every_form = pytest.mark.parametrize("name", RECORDS)
odd_values = st.one_of(
    values,
    st.sampled_from(["", " ", "{", "[]", '{"a": 1', "1e400", "-1", "٣", "\x00", "null", 10**400, -1, 1e308, [[]], [{}], {"": {}}]),
    st.integers(1, 400).map(lambda depth: json.loads("[" * depth + "]" * depth)),
    st.integers(1, 100_000).map(lambda depth: "[" * depth),
    st.integers(1, 300).map(lambda depth: '{"a":' * depth + "1" + "}" * depth),
)


def at(record, path):
    for key in path:
        record = record[key]
    return record


def place(draw, record):
    """The path of a value inside: near the top as often as deep down, where most values are."""
    path = ()
    while True:
        inside = at(record, path)
        keys = list(inside) if isinstance(inside, dict) else range(len(inside)) if isinstance(inside, list) else ()
        if not keys or (path and draw(st.booleans())):
            return path
        path = (*path, draw(st.sampled_from(keys)))


def mutate(draw, record):
    """The record with one to three values dropped, replaced, swapped, wrapped, repeated or renamed."""
    record = copy.deepcopy(record)
    for _ in range(draw(st.integers(1, 3))):
        if not record:
            break
        *path, last = place(draw, record)
        parent = at(record, path)
        match draw(st.sampled_from(["drop", "replace", "swap", "wrap", "text", "rename", "repeat"])):
            case "drop":
                del parent[last]
            case "replace":
                parent[last] = copy.deepcopy(draw(odd_values))
            case "swap":
                parent[last] = copy.deepcopy(at(record, place(draw, record)))
            case "wrap":
                parent[last] = draw(st.sampled_from([[parent[last]], {"a": parent[last]}, {"0": parent[last]}]))
            case "text":
                parent[last] = json.dumps(parent[last])
            case "rename" if isinstance(parent, dict):
                parent[draw(st.sampled_from(["id", "type", "data", "messages", "request", "custom_id", last.upper()]))] = parent.pop(last)
            case "repeat" if isinstance(parent, list):
                parent.extend(parent[:1] * 3)
    return record


def said(call):
    return call.id, call.agent, call.client_id, call.request, call.response, call.outcome


def check(items, kept):
    """Only bad lines and calls that can be logged came out, the calls `kept` among them."""
    assert all(item.reason and isinstance(item.line, int) for item in items if isinstance(item, BadLine))
    calls = [item for item in items if not isinstance(item, BadLine)]
    for call in calls:
        assert AgentCall.model_validate_json(call.to_json()).id == call.id
    read = [said(call) for call in calls]
    assert all(said(call) in read for call in kept)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x"


@pytest.fixture
def good(tmp_path, name):
    """The calls of the records as they are."""
    (tmp_path / "good").write_text("".join(json.dumps(record) + "\n" for record in RECORDS[name]))
    calls = list(read_calls(tmp_path / "good"))
    assert len(calls) == 3
    return calls


@every_form
@mutated
@given(data=st.data())
def test_a_line_with_a_mutated_structure(path, name, good, data):
    broken, lines = data.draw(st.integers(0, 2)), [json.dumps(record) for record in RECORDS[name]]
    lines[broken] = json.dumps(mutate(data.draw, RECORDS[name][broken]))
    path.write_text("\n".join(lines))
    check(list(read_calls(path)), good[:broken] + good[broken + 1 :])


@every_form
@mutated
@given(data=st.data())
def test_an_item_of_a_document_with_a_mutated_structure(path, name, good, data):
    broken, records = data.draw(st.integers(0, 2)), list(RECORDS[name])
    records[broken] = mutate(data.draw, records[broken])
    wrapped = data.draw(st.sampled_from([records, {"data": records}, {"object": "list", "data": records, "has_more": False}]))
    path.write_text(json.dumps(wrapped, indent=data.draw(st.sampled_from([None, 0, 2]))))
    check(list(read_calls(path)), good[:broken] + good[broken + 1 :])


@every_form
@mutated
@given(data=st.data())
def test_a_line_with_mutated_bytes(path, name, good, data):
    broken, lines = data.draw(st.integers(0, 2)), [json.dumps(record).encode() for record in RECORDS[name]]
    lines[broken] = mutate_bytes(data.draw, lines[broken])
    path.write_bytes(b"\n".join(lines))
    check(list(read_calls(path)), good[:broken] + good[broken + 1 :])


@every_form
@mutated
@given(data=st.data())
def test_a_document_with_mutated_bytes(path, name, good, data):
    items = [json.dumps(record, indent=1).encode() for record in RECORDS[name]]
    broken = data.draw(st.integers(0, 2))
    items[broken] = mutate_bytes(data.draw, items[broken])
    path.write_bytes(b"[" + b",".join(items) + b"]")
    # a bracket or quote that is missing costs what follows
    check(list(read_calls(path)), good[:broken])


def mutate_bytes(draw, line):
    line, byte = bytearray(line), st.integers(0, 255).filter(lambda byte: byte not in (10, 13))
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(line) - 1))
        match draw(st.sampled_from(["replace", "insert", "cut", "end"])):
            case "replace":
                line[where] = draw(byte)
            case "insert":
                line[where:where] = bytes([draw(byte)])
            case "cut":
                del line[where : where + draw(st.integers(1, 40))]
            case "end":
                del line[max(where, 1) :]
        line = line or bytearray(b"x")
    return bytes(line)
