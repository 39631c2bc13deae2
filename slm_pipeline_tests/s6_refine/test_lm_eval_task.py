"""The generated task scores the same from Python and from lm-eval's own command line, offline, with and without adapter."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from slm_pipeline.s6_refine.lm_eval_task import command_line, score_with_lm_eval, task_files
from slm_pipeline_tests.tiny import make_tiny_base

GROUP = "tiny-00000000"
PROMPTS = [f"<|im_start|>user\nsay {word}<|im_end|>\n<|im_start|>assistant\n" for word in ("one", "two", "three", "four")]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_tiny_base(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory) -> Path:
    """A LoRA adapter strong enough to change what the base says."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(8)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return folder


def answers(base: Path, adapter: Path | None) -> list[str]:
    """What the model says, decoded greedily by transformers from the very prompts."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(base), AutoModelForCausalLM.from_pretrained(base)
    model = PeftModel.from_pretrained(model, adapter) if adapter else model
    said = []
    for prompt in PROMPTS:
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")
        out = model.generate(**ids, max_new_tokens=6, do_sample=False, pad_token_id=tokenizer.pad_token_id)
        said.append(tokenizer.decode(out[0][ids["input_ids"].shape[1] :], skip_special_tokens=True))
    assert torch.is_tensor(out)
    return said


def write_task(folder: Path, targets: list[str]) -> Path:
    folder.mkdir(parents=True)
    for name, content in task_files(GROUP, PROMPTS, targets, ["<|im_end|>"], 6).items():
        (folder / name).write_text(content)
    return folder


def test_prompts_reach_the_model_unchanged(base, adapter, tmp_path):
    said = answers(base, None)
    task = write_task(tmp_path / "task", [*said[:3], "something else"])
    assert score_with_lm_eval(task, GROUP, base, None) == {"exact_match": 0.75, "stderr": pytest.approx(0.25), "n": 4}
    assert score_with_lm_eval(task, GROUP, base, None, limit=2)["n"] == 2
    other = write_task(tmp_path / "adapted", answers(base, adapter))
    assert score_with_lm_eval(other, GROUP, base, adapter)["exact_match"] == 1.0
    assert answers(base, adapter) != said


def test_the_command_line_gives_the_same_number(base, adapter, tmp_path):
    said = answers(base, adapter)
    task = write_task(tmp_path / "a task", [said[0], "no", "no", "no"])
    here = score_with_lm_eval(task, GROUP, base, adapter)
    command = command_line(task, GROUP, base, adapter) + f" --output_path {tmp_path / 'out'}"
    command = command.replace(" lm_eval run ", f" {sys.executable} -m lm_eval run ")
    subprocess.run(command, shell=True, check=True, capture_output=True)
    result = json.loads(next((tmp_path / "out").rglob("results_*.json")).read_text())["results"][GROUP]
    assert result["exact_match,none"] == here["exact_match"] == 0.25
