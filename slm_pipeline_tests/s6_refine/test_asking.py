"""A report from real parts: llama.cpp answers, lm-eval scores, on a tiny random model, for a PEFT adapter and for full fine-tuning."""

import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.s4_select.base_models import base_files
from slm_pipeline.s5_finetune.fit import _write_gguf
from slm_pipeline.s6_refine.asking import evaluate
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, example
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import make_tiny_adapter

SETTINGS = {"GENERAL_ITEMS": "4", "LM_EVAL_LIMIT": "2", "MAX_ANSWER_TOKENS": "8", "BASE_PROMPT_TOKENS": "256", "QUANTISATION": "f16"}


@pytest.fixture
def lake(home, monkeypatch) -> Lake:
    for name, value in SETTINGS.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    make_tiny_base(home)
    lake = Lake(get_settings().lake)
    rows = [example(i, "test" if i % 5 == 0 else "train", f"answer {i}", "text") for i in range(40)]
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": TASKS})
    lake.write("s5_finetune/attempt", GROUP, {"attempt": {"model_version": "1"}})
    return lake


def report(lake: Lake) -> tuple[str, dict]:
    """The digest of a report made anew, and the report."""
    lake.delete("s6_refine/eval_report", GROUP)
    written, fresh = evaluate(GROUP, None, get_settings(), lambda line: None)
    assert fresh
    return written.digest, written.json("report")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_report_of_real_parts_is_made_once_and_the_same_again(lake, method):
    settings = get_settings()
    base = base_files(NAME, settings)
    folder = make_tiny_adapter(base.folder, settings.home / "trained", method)
    _write_gguf(base, folder, settings)
    training = {"base": NAME, "params": {"method": method, "prompt": "factored"}}
    lake.write("s5_finetune/adapter", GROUP, {**{path.name: path.read_bytes() for path in folder.iterdir()}, "training": training})
    digest, found = report(lake)
    assert evaluate(GROUP, None, settings, lambda line: None)[1] is False
    assert method == "full" or report(lake)[0] == digest
    assert (found["n"], found["general"]["n"], found["lm_eval"]["adapter"]["n"]) == (8, 4, 2)
    assert found["noninferiority"]["verdict"] == "not testable"
    assert sum(found["failures"]["verdicts"].values()) == 8
