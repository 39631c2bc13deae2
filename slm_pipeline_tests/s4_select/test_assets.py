"""The two assets on a small lake: the model is a stub, the rest is real."""

import json
from types import SimpleNamespace

import dagster as dg
import pandas as pd
import pytest
import yaml

from slm_pipeline.lake import Lake
from slm_pipeline.s4_select import assets, checks
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s4_select.test_catalogue import GOOD

GROUP = "open-page-0a1b2c3d"
TOOL = {"type": "function", "function": {"name": "open", "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}}}}
TASKS = {"task-1": {"name": "open a page", "tools": [TOOL], "response_format": None, "system": "Open pages.", "forms": ["tool_call"]}}


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("SLM_HOME", str(tmp_path))
    monkeypatch.setenv("SLM_BASE_MODELS", '["Tiny", "Tinier"]')
    settings = get_settings()
    for name in ("Tiny", "Tinier"):
        (settings.models / name).mkdir(parents=True)
        for file in ("config.json", "model.gguf"):
            (settings.models / name / file).write_text("{}")
    (settings.models / "catalogue.yaml").write_text(yaml.safe_dump([GOOD, GOOD | {"name": "Tinier", "params": 500}]))
    return Lake(settings.lake)


def write_examples(lake, validation=30):
    def example(i, split):
        answer = json.dumps({"name": "open", "arguments": {"page": i}})
        messages = json.dumps([{"role": "user", "content": f"page {i}"}])
        row = {"id": f"{split}{i}", "session_id": f"s{i}", "task": "task-1", "split": split, "form": "tool_call", "outcome": None}
        row |= {"target_source": "gold", "day": "2026-10-01"}
        return row | {"messages": messages, "full_messages": messages, "answer": answer}

    rows = [example(i, "train") for i in range(10)] + [example(i, "validation") for i in range(validation)]
    lake.write(assets.EXAMPLES, GROUP, {"examples": pd.DataFrame(rows), "tasks": TASKS})


@pytest.fixture
def asked(monkeypatch):
    """A model that knows its page."""
    calls = []

    def ask_base(examples, training, schemas, base, form, settings):
        assert set(training["split"]) == {"train"}
        assert schemas["task-1"] is not None
        calls.append((base.name, form, list(examples["id"])))
        return [SimpleNamespace(text=text, prompt_tokens=50, tokens=5, latency_ms=1.0) for text in examples["answer"]]

    monkeypatch.setattr("slm_pipeline.inference.ask_base", ask_base)
    return calls


def run(*wanted, partition=None):
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("group", [GROUP])
        definitions = [assets.candidate_models, assets.selected_base, checks.some_base_passes, checks.probe_is_large_enough]
        selection = dg.AssetSelection.assets(*wanted) | dg.AssetSelection.checks_for_assets(*wanted)
        return dg.materialize(definitions, selection=selection, partition_key=partition, instance=instance, raise_on_error=False)


def metadata(result, name):
    return {key: value.value for key, value in result.asset_materializations_for_node(name)[0].metadata.items()}


def test_candidates_are_listed_with_reasons(lake):
    result = run(assets.candidate_models)
    assert result.success
    candidates = {c["name"]: c for c in lake.read(assets.CANDIDATES).json("candidates")}
    assert [name for name, c in candidates.items() if c["ok"]] == ["Tinier", "Tiny"]
    assert "hub id Qwen/Qwen3-0.6B" in candidates["Qwen3-0.6B"]["reason"]
    shown = metadata(result, "candidate_models")
    assert shown["passed"] == 2
    assert shown["refused"] == len(candidates) - 2
    assert all(name in shown["candidates"] for name in candidates)


def test_a_base_without_rival_is_probed_with_and_without_examples(lake, asked, monkeypatch):
    monkeypatch.setenv("SLM_BASE_MODELS", '["Tiny"]')
    write_examples(lake)
    run(assets.candidate_models)
    result = run(assets.selected_base, partition=GROUP)
    assert result.success
    selection = lake.read(assets.SELECTED, GROUP).json("selection")
    assert (selection["base"], selection["prompt_form"]) == ("Tiny", "factored")
    assert selection["probe"]["accuracy"] == 1.0
    assert [(p["name"], p["shots"]) for p in selection["ranked"]] == [("Tiny", 0), ("Tiny", 2)]
    assert selection["trials"] == [], "nothing is fine-tuned where there is no choice"
    assert {len(set(ids)) for _, _, ids in asked} == {get_settings().probe_examples}
    assert len({tuple(ids) for _, _, ids in asked}) == 1, "the same examples are asked"
    assert "Tiny" in metadata(result, "selected_base")["ranking"]


def test_nothing_is_asked_again_until_the_examples_change(lake, asked, monkeypatch):
    monkeypatch.setenv("SLM_BASE_MODELS", '["Tiny"]')
    write_examples(lake)
    run(assets.candidate_models)
    run(assets.selected_base, partition=GROUP)
    first, count = lake.read(assets.SELECTED, GROUP).digest, len(asked)
    again = run(assets.selected_base, partition=GROUP)
    assert metadata(again, "selected_base")["asked_again"] is False
    assert (lake.read(assets.SELECTED, GROUP).digest, len(asked)) == (first, count)
    write_examples(lake, validation=31)
    run(assets.selected_base, partition=GROUP)
    assert len(asked) == 2 * count


def test_too_few_validation_examples_are_a_warning(lake, asked, monkeypatch):
    monkeypatch.setenv("SLM_BASE_MODELS", '["Tiny"]')
    write_examples(lake, validation=3)
    run(assets.candidate_models)
    (check,) = run(assets.selected_base, partition=GROUP).get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.metadata["threshold"].value == get_settings().probe_examples


def test_without_validation_examples_the_smaller_base_is_taken_unasked(lake, asked):
    write_examples(lake, validation=0)
    run(assets.candidate_models)
    run(assets.selected_base, partition=GROUP)
    assert lake.read(assets.SELECTED, GROUP).json("selection")["base"] == "Tinier"
    assert asked == []


def test_if_no_base_passes_the_run_says_why(lake, asked, monkeypatch):
    monkeypatch.setenv("SLM_BASE_MODELS", '["Qwen3-0.6B"]')
    write_examples(lake)
    result = run(assets.candidate_models)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    result = run(assets.selected_base, partition=GROUP)
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert "Qwen3-0.6B: weights are not on this machine" in str(failure.step_failure_data.user_failure_data.description)
