import gzip
import json

import pytest

from slm_pipeline.bench import cluster
from slm_pipeline.bench._templated import generated_calls
from slm_pipeline.records import Answer, ToolCall, response_of
from slm_pipeline.settings import Settings

KEYS = {
    "ami",
    "nmi",
    "ari",
    "tasks",
    "unassigned_share",
    "assignment_accuracy",
    "assign_p99_ms",
    "kept_share",
    "planted_found",
    "n",
    "seed",
}


@pytest.fixture
def less_traffic(monkeypatch):
    monkeypatch.setattr(cluster, "GENERATED", 700)
    monkeypatch.setattr(cluster, "GROWTH", 140)
    monkeypatch.setattr(cluster, "FRESH", 200)


def write(file, rows):
    file.parent.mkdir(exist_ok=True)
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)


def as_recorded(call):
    answer = Answer(call["answer"]["text"], tuple(ToolCall(**one) for one in call["answer"]["tool_calls"]))
    return {"id": call["id"], "agent": call["agent"], "request": call["request"], "response": response_of(answer, "m")}


def test_generated_templates_are_found_kept_and_recognised(less_traffic):
    found = cluster.measure(Settings(), None)
    assert found.keys() >= KEYS
    assert found["ari"] >= 0.98
    assert found["assignment_accuracy"] >= 0.95
    assert found["kept_share"] >= 0.95
    assert found["planted_found"] >= 0.9


def test_labelled_folders_are_taken_together(tmp_path, less_traffic):
    calls = [call | {"agent": f"agent {call['task']}"} for call in generated_calls(500, 3)]
    tools = [call for call in calls if "tools" in call["request"]]
    for name, part in (("one", [call for call in calls if call not in tools]), ("two", tools)):
        write(tmp_path / name / "calls.jsonl.gz", [as_recorded(call) for call in part])
        labels = [call["answer"]["tool_calls"][0]["name"] if name == "two" else call["task"] for call in part]
        rows = [{"id": call["id"], "task": f"it:{label}"} for call, label in zip(part, labels, strict=True)]
        write(tmp_path / name / "task_labels.jsonl.gz", rows if name == "two" else rows[5:])
    found = cluster.measure(Settings(), tmp_path)
    assert found["n"] == 500
    assert found["mixed_tasks"] == 0
    assert found["breakdown_error"] == 0
    assert found["ami"] > 0.9
    alone = cluster.measure(Settings(), tmp_path / "one")
    assert alone["breakdown_error"] is None
    assert cluster.measure(Settings(), tmp_path / "one" / "calls.jsonl.gz") | {"assign_p99_ms": 0, "cluster_ms_per_call": 0} == alone | {
        "assign_p99_ms": 0,
        "cluster_ms_per_call": 0,
    }


def test_labelled_texts_are_clustered_with_the_number_of_their_labels(tmp_path, less_traffic):
    intents = {"weather": "will it {} tomorrow", "music": "play a {} by that singer", "money": "pay the {} from my bank account"}
    words = ["rain", "snow", "storm", "song", "tune", "ballad", "bill", "invoice", "fee", "hail", "loan", "hymn"]
    rows = [{"id": f"{k}-{w}", "text": text.format(w), "label": k} for k, text in intents.items() for w in words]
    write(tmp_path / "texts.jsonl.gz", rows)
    found = cluster.measure(Settings(), tmp_path / "texts.jsonl.gz")
    assert (found["n"], found["tasks"], found["nmi"]) == (36, 3, 1.0)
