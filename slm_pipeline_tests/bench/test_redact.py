import json

from slm_pipeline.bench import redact
from slm_pipeline.s2_curate.redact.finds import Find
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import tool_calls


def test_characters_are_scored_whatever_the_kind():
    rows = [{"text": "Mia Li in Ulm", "spans": [{"start": 0, "end": 6, "type": "PERSON"}, {"start": 10, "end": 13, "type": "LOCATION"}]}]
    scores = redact.character_scores(rows, [(Find(0, 3, "EMAIL"), Find(9, 13, "PERSON"))])
    assert scores["precision"] == round(6 / 7, 4)
    assert scores["recall"] == round(6 / 9, 4)
    assert scores["recall_by_kind"] == {"LOCATION": 1.0, "PERSON": 0.5}
    assert scores["spans_missed"] == {"LOCATION": 0, "PERSON": 1}


def test_the_bench_measures_given_and_generated_texts(tmp_path, monkeypatch):
    monkeypatch.setattr(redact, "LOOKALIKES", 200)
    monkeypatch.setattr(redact, "HOSTILE", ("a@", "1-"))
    monkeypatch.setattr(redact, "SIZE", 2_000)
    file = tmp_path / "rows.jsonl"
    row = {"id": "1", "text": "write to al@example.com", "spans": [{"start": 9, "end": 23, "type": "EMAIL_ADDRESS"}]}
    file.write_text(json.dumps(row) + "\n")
    given = redact.measure(Settings(), file)
    assert (given["n"], given["precision"], given["recall"], given["f2"]) == (1, 1.0, 1.0, 1.0)
    generated = redact.measure(Settings(), None)
    assert generated["n"] == redact.GENERATED
    assert generated["recall_by_kind"]["CREDIT_CARD"] > 0.9
    assert generated["false_alarms"] <= 0.005
    assert {"structured_ms_per_kb", "ms_per_kb", "linear_ratio", "seed"} <= set(generated)


def test_recorded_calls_are_measured_by_what_can_still_be_learned_from_them(tmp_path):
    file = tmp_path / "calls.jsonl"
    file.write_text(
        "\n".join(tool_calls(6)).replace("in Rome number 0", "for jo@example.com").replace('\\"Rome\\"', '\\"jo@example.com\\"')
    )
    told = redact.measure(Settings(), file)
    assert (told["n"], told["tool_calls_broken"], told["left"], told["arguments_kept"]) == (6, 0, 0, 1.0)
    assert told["arguments"] == 6
    assert told["altered"] > 0
