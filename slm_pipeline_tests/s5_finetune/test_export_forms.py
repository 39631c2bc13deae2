"""`export` writes what others can load, describes it, and refuses what must not leave."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest
import torch
import yaml
from gguf import GGUFReader
from peft import PeftModel
from transformers import AutoModelForCausalLM

from slm_pipeline.lake import Lake
from slm_pipeline.resources import tracking
from slm_pipeline.resources.engine import Engine
from slm_pipeline.s5_finetune.attempt import LicenceRefused
from slm_pipeline.s5_finetune.export import NotExportable
from slm_pipeline.s5_finetune.export.compare import ComparisonFailed
from slm_pipeline.s5_finetune.export.export import NotOurs, export
from slm_pipeline.s6_refine.evaluation import build_report, score_answers
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, examples, right
from slm_pipeline_tests.tiny import NAME
from slm_pipeline_tests.tiny_group import add_version, make_tiny_group

PROMPT = "<|im_start|>system\nTools: now, forecast<|im_end|>\n<|im_start|>user\nquestion 3<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The home of a group with a champion."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLM_HOME", str(folder))
        make_tiny_group(folder)
    return folder


@pytest.fixture
def settings(made, home):
    """Of a copy of that home. Answers are short: a random model's likeliest words are often equally likely within fp16."""
    shutil.copytree(made, home, dirs_exist_ok=True)
    return get_settings().model_copy(update={"max_answer_tokens": 2})


def front_matter(folder) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def logits(model) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(input_ids=torch.arange(5, 45)[None]).logits


def test_peft_and_merged_load_and_say_the_same(settings, home, tmp_path):
    out = tmp_path / "out"
    record = export(GROUP, "peft", out / "peft", settings)
    export(GROUP, "merged", out / "merged", settings)
    base = AutoModelForCausalLM.from_pretrained(home / "models" / NAME, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, out / "peft")
    merged = AutoModelForCausalLM.from_pretrained(out / "merged", dtype=torch.float32)
    assert (logits(adapted) - logits(merged)).abs().max() < 1e-3
    assert (record["version"], record["compared"][0]["n"], record["compared"][0]["passed"]) == ("1", 10, True)
    assert front_matter(out / "peft")["base_model_relation"] == "adapter"
    assert (out / "merged" / "tokenizer.json").exists()
    assert not [path for path in out.iterdir() if path.name.startswith(".")], "nothing is left beside the exports"


def test_the_card_says_what_it_was_made_of_and_how_it_compares(settings, tmp_path):
    export(GROUP, "peft", tmp_path / "out", settings)
    card = (tmp_path / "out" / "README.md").read_text()
    told = front_matter(tmp_path / "out")
    assert (told["base_model"], told["license"], told["library_name"]) == (f"tests/{NAME}", "apache-2.0", "peft")
    for fact in (
        "fedcba9876543210",
        "0123456789abcdef",
        "curation version",
        "weather (50)",
        "gold 40",
        "30 examples, 2 of them",
        "2026-10-01",
    ):
        assert fact in card
    assert "## Scores\n\nNot evaluated." in card
    assert "| adapter | largest logit difference | 10 |" in card
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert (tasks[0]["line"], tasks[0]["schema"]["anyOf"][0]["properties"]["name"]) == ("Tools: now, forecast", {"const": "now"})


def test_scores_are_those_of_the_report_of_this_very_adapter(settings, tmp_path):
    table = examples()
    test = table[table["split"] == "test"]
    predictions = score_answers("adapter", "factored", test, right(test, 0.7), TASKS)
    lake = Lake(settings.lake)
    judged = lake.read("s5_finetune/adapter", GROUP).digest
    facts = {"group": GROUP, "base": {"name": NAME, "forms": {}}, "adapter": {"digest": judged, "version": "1"}, "champion": None}
    lake.write("s6_refine/eval_report", GROUP, {"report": build_report(test, predictions, settings, facts)})
    export(GROUP, "peft", tmp_path / "one", settings)
    card = (tmp_path / "one" / "README.md").read_text()
    assert "| this adapter | 40 | 70.0% [" in card
    assert "Not evaluated" not in card
    add_version(settings, "rslora")
    export(GROUP, "peft", tmp_path / "two", settings, version="2")
    assert "Not evaluated." in (tmp_path / "two" / "README.md").read_text(), "the report judges version 1"


def test_gguf_has_every_size_and_reports_how_often_each_agrees(settings, tmp_path):
    record = export(GROUP, "gguf", tmp_path / "out", settings)
    names = {f"{model}-{size}.gguf" for model in ("base", "merged") for size in ("f16", "q8_0", "q4_k_m")} | {"adapter.gguf"}
    assert {path.name for path in (tmp_path / "out").glob("*.gguf")} == names
    bars = {compared["form"]: compared["bar"] for compared in record["compared"]}
    assert bars["merged-f16.gguf"] == bars["base-f16.gguf + adapter.gguf"] == 0.95
    assert bars["merged-q4_k_m.gguf"] is None
    sizes = [(tmp_path / "out" / f"merged-{size}.gguf").stat().st_size for size in ("f16", "q8_0", "q4_k_m")]
    assert sizes == sorted(sizes, reverse=True)
    assert GGUFReader(tmp_path / "out" / "merged-q8_0.gguf").fields["general.file_type"].contents() == 7


def test_a_full_fine_tuning_is_no_adapter_but_a_model(settings, tmp_path):
    add_version(settings, "full")
    with pytest.raises(NotExportable, match="full fine-tuning, no adapter: export it as merged or gguf"):
        export(GROUP, "peft", tmp_path / "out", settings, version="2")
    assert not (tmp_path / "out").exists()
    record = export(GROUP, "gguf", tmp_path / "out", settings, version="2", quantisation="f16")
    assert [compared["form"] for compared in record["compared"]] == ["merged-f16.gguf"]
    assert "llama-server -m merged-f16.gguf" in (tmp_path / "out" / "README.md").read_text(), "the card names a file that is there"
    export(GROUP, "vllm", tmp_path / "vllm", settings, version="2")
    assert "vllm serve ./merged" in (tmp_path / "vllm" / "serve.sh").read_text()


def test_an_activated_adapter_is_exported_beside_its_base_only(settings, tmp_path):
    add_version(settings, "alora")
    record = export(GROUP, "gguf", tmp_path / "gguf", settings, version="2", quantisation="q8_0")
    assert [compared["form"] for compared in record["compared"]] == ["base-q8_0.gguf + adapter.gguf"]
    assert "llama-server -m base-q8_0.gguf --lora adapter.gguf" in (tmp_path / "gguf" / "README.md").read_text()
    export(GROUP, "peft", tmp_path / "peft", settings, version="2")
    assert json.loads((tmp_path / "peft" / "adapter_config.json").read_text())["alora_invocation_tokens"]
    for form in ("merged", "ollama", "vllm"):
        with pytest.raises(NotExportable, match=r"acts on the answer only.*as peft or gguf"):
            export(GROUP, form, tmp_path / form, settings, version="2")


def test_ollama_gets_a_modelfile_whose_files_are_there(settings, tmp_path):
    export(GROUP, "ollama", tmp_path / "out", settings)
    lines = (tmp_path / "out" / "Modelfile").read_text().splitlines()
    assert lines[0] == "FROM ./merged-q8_0.gguf"
    assert not any(line.startswith("ADAPTER") for line in lines), "Ollama 0.34.1 and later refuse it"
    with Engine(tmp_path / "out" / "merged-q8_0.gguf", None, 256) as engine:
        assert engine.complete([PROMPT], [None], 4)[0].tokens > 0
    assert '{{ "<|im_end|>\\n<|im_start|>assistant\\n" }}' in lines[1], "what stands between a question and its answer"
    assert 'PARAMETER stop "<|im_end|>"' in lines


def test_the_line_for_vllm_names_model_adapter_and_rank(settings, tmp_path):
    out = tmp_path / "out"
    export(GROUP, "vllm", out, settings)
    fake = tmp_path / "bin" / "vllm"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    fake.chmod(0o755)
    path = f"{fake.parent}:{os.environ['PATH']}"
    said = subprocess.run([out / "serve.sh", "--port", "1"], env={"PATH": path}, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert said[:2] == ["serve", f"tests/{NAME}"]
    assert f"{GROUP}=./adapter" in said
    assert said[said.index("--max-lora-rank") + 1] == "8", "the smallest that vLLM takes for rank 4"
    assert (out / "adapter" / "adapter_model.safetensors").exists()


def test_checksums_are_what_sha256sum_reads(settings, tmp_path):
    export(GROUP, "vllm", tmp_path / "out", settings)
    lines = (tmp_path / "out" / "SHA256SUMS").read_text().splitlines()
    sums = {name: sha for sha, name in (line.split("  ") for line in lines)}
    files = {path.relative_to(tmp_path / "out").as_posix(): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert sums == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if name != "SHA256SUMS"}


def test_a_folder_of_others_is_never_written_to_one_of_ours_is_replaced(settings, tmp_path):
    out = tmp_path / "out"
    export(GROUP, "vllm", out, settings)
    export(GROUP, "peft", out, settings)
    assert not (out / "serve.sh").exists(), "of the export before nothing is left"
    (out / "notes.txt").write_text("mine")
    with pytest.raises(NotOurs, match=r"notes\.txt"):
        export(GROUP, "peft", out, settings)
    assert (out / "notes.txt").read_text() == "mine"


def test_an_export_that_says_something_else_is_none(settings, home, tmp_path):
    """The base's GGUF file here has another rotary base than its weights were made for: llama.cpp then says other words."""
    from gguf import GGUFWriter

    file = home / "models" / NAME / "model.gguf"
    own = GGUFReader(file)
    writer = GGUFWriter(tmp_path / "other.gguf", "llama")
    for field in own.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            element = field.types[-1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=element)
    writer.add_rope_freq_base(2.0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.write_bytes((tmp_path / "other.gguf").read_bytes())
    with pytest.raises(ComparisonFailed, match=r"merged-f16\.gguf: same greedy answers 0.* over 10 prompts, bar 0\.95"):
        export(GROUP, "gguf", tmp_path / "out", settings, quantisation="f16")
    assert not (tmp_path / "out").exists()


def test_terms_that_refuse_training_refuse_the_export(settings, home, tmp_path):
    add_version(settings, "rslora", {"closed-1": 30})
    terms = {"name": "closed", "models": ["closed-*"], "verdict": "refuse", "terms": "No training.", "date": "2026-11-01"}
    (home / "models" / "licences.yaml").write_text(yaml.safe_dump({"teachers": [terms]}))
    with pytest.raises(LicenceRefused, match=r"closed-1 \(30 answers\): No training"):
        export(GROUP, "peft", tmp_path / "out", settings, version="2")
    accepted = settings.model_copy(update={"teacher_terms_accepted": ("closed",)})
    export(GROUP, "peft", tmp_path / "out", accepted, version="2")
    assert "Teachers: closed-1 30." in (tmp_path / "out" / "README.md").read_text()


def test_what_was_trained_on_erased_calls_is_not_exported(settings, tmp_path):
    tracking.mark_erased(settings, GROUP)
    with pytest.raises(LookupError, match="erased since: train it again"):
        export(GROUP, "peft", tmp_path / "out", settings)


def test_the_same_adapter_gives_the_same_bytes(settings, tmp_path):
    for name in ("one", "two"):
        export(GROUP, "gguf", tmp_path / name, settings, quantisation="q8_0")
    assert (tmp_path / "one" / "SHA256SUMS").read_bytes() == (tmp_path / "two" / "SHA256SUMS").read_bytes()
