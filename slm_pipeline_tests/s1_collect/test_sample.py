import json
from datetime import UTC, datetime

import pytest

from slm_pipeline.s1_collect import sample
from slm_pipeline.s1_collect.importers import read_calls
from slm_pipeline.s1_collect.sample import gold_arguments, json_schema, sample_calls, sample_traffic
from slm_pipeline.settings import Settings

RIDE = {
    "name": "cab.ride",
    "description": "Order a ride.",
    "parameters": {
        "type": "dict",
        "required": ["to"],
        "properties": {
            "to": {"type": "string"},
            "seats": {"type": "integer", "default": None},
            "tip": {"type": "float", "default": 0.5},
            "stops": {"type": "tuple", "items": {"type": "any"}},
            "driver": {"type": "dict", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}},
        },
    },
}


def data(n=10):
    questions = [{"id": f"q{i}", "question": [[{"role": "user", "content": f"ride {i}"}]], "function": [RIDE]} for i in range(n)]
    answers = [{"id": f"q{i}", "ground_truth": [{"cab.ride": {"to": [f"street {i}", "st."], "tip": ["", 0.5]}}]} for i in range(n)]
    return questions, answers


def test_types_become_json_schema_at_every_depth():
    properties = json_schema(RIDE["parameters"])["properties"]
    assert properties["seats"] == {"type": "integer"}
    assert properties["tip"] == {"type": "number", "default": 0.5}
    assert properties["stops"] == {"type": "array", "items": {}}
    assert properties["driver"]["type"] == "object"
    assert properties["driver"]["properties"]["age"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("accepted", "gold"),
    [
        ({"to": ["a", "b"], "seats": ["", 3]}, {"to": "a"}),
        ({"to": ["", "b"]}, {"to": "b"}),  # required: never left out
        ({"to": ["a"], "seats": ["2"]}, {"to": "a", "seats": 2}),
        ({"to": [7], "tip": ["1.5"]}, {"to": "7", "tip": 1.5}),
        ({"to": ["a"], "seats": ["some"]}, {"to": "a", "seats": "some"}),
        ({"to": ["a"], "seats": [None]}, {"to": "a"}),
        ({"to": ["a"], "driver": [{"name": ["Jo", "Joe"], "age": ["", 30]}]}, {"to": "a", "driver": {"name": "Jo"}}),
    ],
)
def test_the_gold_call_takes_first_values_in_the_types_of_the_schema(accepted, gold):
    assert gold_arguments(accepted, json_schema(RIDE["parameters"])) == gold


def test_every_question_is_one_call_with_a_gold_outcome():
    settings = Settings()
    calls = sample_calls(*data(), settings)
    assert sorted(c.id for c in calls) == [f"q{i}" for i in range(10)]
    assert [c.id for c in calls] != sorted(c.id for c in calls)
    assert all(c.session_id == c.id for c in calls)
    (first, *_, last) = (datetime.fromtimestamp(c.timestamp, UTC).date() for c in calls)
    assert (first, (last - first).days) == (settings.first_day, 27)
    outcome = calls[0].outcome
    function = outcome["gold"]["tool_calls"][0]["function"]
    assert function["name"] == calls[0].request["tools"][0]["function"]["name"] == "cab_ride"
    assert list(json.loads(function["arguments"])) == ["to"]
    assert outcome["optional_arguments"] == ["tip"]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_order(tmp_path, monkeypatch):
    def fake(package, member, to):
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text("\n".join(json.dumps(line) for line in data()[member == sample.ANSWERS]))
        return to

    monkeypatch.setattr(sample, "fetch", fake)
    paths = [sample_traffic(Settings(home=tmp_path / name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    first, same, other = (path.read_bytes() for path in paths)
    assert first == same != other
    assert len(list(read_calls(paths[0]))) == 10
