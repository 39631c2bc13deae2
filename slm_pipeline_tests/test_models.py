"""`slm models` as a user runs it."""

import json

import pytest
from typer.testing import CliRunner

from slm_pipeline.cli import app
from slm_pipeline.lake import Lake
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s4_select.test_candidates import examples


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "120")


def slm(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_the_list_says_why_each_one_passes_or_fails_within_120_columns():
    result = slm("models")
    assert result.exit_code == 0
    assert "SmolLM2-135M-Instruct" in result.output
    assert "passes" in result.output
    assert "laptop" in result.output
    table = [line for line in result.output.splitlines() if line[:1] in "┃│┏└"]
    assert table
    assert max(map(len, table)) <= 120


def test_as_json_there_is_one_object_for_each_model():
    rows = json.loads(slm("models", "--json").output)
    by_name = {row["name"]: row for row in rows}
    assert by_name["SmolLM2-135M-Instruct"]["ok"]
    assert "remote code" in by_name["Hymba-1.5B-Instruct"]["reason"]
    assert by_name["Qwen3-0.6B"]["memory_gb"] > by_name["SmolLM2-135M-Instruct"]["memory_gb"]


def test_a_group_is_judged_by_its_own_calls_on_the_device_asked_for():
    settings = get_settings()
    Lake(settings.lake).write("s3_cluster/task_examples", "short-0a1b2c3d", {"examples": examples(3)})
    short = {row["name"]: row for row in json.loads(slm("models", "--group", "short-0a1b2c3d", "--on", "phone", "--json").output)}
    long = {row["name"]: row for row in json.loads(slm("models", "--on", "phone", "--json").output)}
    assert "too slow" in long["SmolLM2-1.7B-Instruct"]["reason"]
    assert "too slow" not in short["SmolLM2-1.7B-Instruct"]["reason"]


def test_one_model_is_shown_with_the_source_of_every_fact():
    rows = json.loads(slm("models", "LFM2-350M", "--json").output)
    sources = {row["field"]: row["source"] for row in rows}
    assert sources["shape"] == "https://huggingface.co/LiquidAI/LFM2-350M/blob/main/config.json"
    assert sources["licence"] == sources["context"] == "https://huggingface.co/LiquidAI/LFM2-350M"
    assert sources["benchmarks"].endswith("lfm2-350m.md")
    assert "LFM2-350M" in slm("models", "LFM2-350M").output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["GPT-9"], "no base model 'GPT-9'"),
        (["--group", "nobody"], "no group 'nobody' with examples; there are none yet"),
        (["--on", "fridge"], "no device 'fridge'; there are phone, laptop, gpu"),
        (["--fetch"], "Say which model"),
    ],
)
def test_what_there_is_not_is_said_in_a_sentence(arguments, said):
    result = slm("models", *arguments)
    assert result.exit_code == 1
    assert said in result.output
    assert "Traceback" not in result.output
