"""An adapter says in llama.cpp what it says in PEFT."""

import pytest
import torch

from slm_pipeline.resources.engine import Engine
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.export import adapter_to_gguf
from slm_pipeline.s5_finetune.trainer import load_model, save_adapter, with_lora
from slm_pipeline_tests.tiny import NAME, make_tiny_base

PROMPTS = [f"<|im_start|>user\nsay {word}<|im_end|>\n<|im_start|>assistant\n" for word in ("one", "two", "three", "four", "five", "six")]
TOKENS = 8


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def adapted(base, tmp_path_factory):
    """A model with a strong random adapter, and the adapter's folder."""
    model = with_lora(load_model(base).float(), Configuration("lora", 4, 0.5, 1e-3, 1, 4, 1, 7))
    torch.manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.5)
    folder = tmp_path_factory.mktemp("adapter")
    save_adapter(model, NAME, folder)
    adapter_to_gguf(folder, base, folder / "adapter.gguf")
    return model.eval(), folder


def greedy(model, base, prompt: str) -> str:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    ids = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)["input_ids"]
    said = model.generate(input_ids=ids, max_new_tokens=TOKENS, do_sample=False)[0, ids.shape[1] :]
    return tokenizer.decode(said, skip_special_tokens=True)


def test_same_greedy_answers(base, adapted):
    model, folder = adapted
    with Engine(base / "model.gguf", folder / "adapter.gguf", 256) as engine:
        said = [c.text for c in engine.complete(PROMPTS, [None] * len(PROMPTS), TOKENS)]
    expected = [greedy(model, base, prompt) for prompt in PROMPTS]
    assert sum(a == b for a, b in zip(said, expected, strict=True)) >= len(PROMPTS) - 1, (said, expected)


def test_the_adapter_is_what_makes_the_difference(base, adapted):
    with Engine(base / "model.gguf", None, 256) as plain, Engine(base / "model.gguf", adapted[1] / "adapter.gguf", 256) as with_adapter:
        one, other = (e.complete(PROMPTS, [None] * len(PROMPTS), TOKENS) for e in (plain, with_adapter))
    assert [c.text for c in one] != [c.text for c in other]


def test_saved_config_has_no_local_path_and_a_fixed_order(adapted):
    text = (adapted[1] / "adapter_config.json").read_text()
    assert f'"base_model_name_or_path": "{NAME}"' in text
    assert "/tmp" not in text
    import json

    targets = json.loads(text)["target_modules"]
    assert targets == sorted(targets)


def test_an_unknown_architecture_is_refused(base, tmp_path):
    import json

    other = tmp_path / "base"
    other.mkdir()
    config = json.loads((base / "config.json").read_text()) | {"model_type": "mamba"}
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="mamba"):
        adapter_to_gguf(tmp_path, other, tmp_path / "x.gguf")


def test_constrained_answers_are_canonical_and_keep_the_schema_order(base):
    """Whatever a random model would like to say, it says it in the form and order it was trained to write."""
    from slm_pipeline.answers import answer_schema, parse_answer, render_answer

    properties = {"zone": {"type": "boolean"}, "age": {"type": "boolean"}, "mood": {"enum": ["good", "bad"]}}
    parameters = {"type": "object", "properties": properties, "required": ["zone", "age", "mood"]}
    tools = [{"type": "function", "function": {"name": "note", "parameters": parameters}}]
    with Engine(base / "model.gguf", None, 256) as engine:
        (said,) = engine.complete(PROMPTS[:1], [answer_schema(tools, ["tool_call"])], 100)
    answer = parse_answer(said.text)
    assert list(answer.tool_calls[0].arguments) == ["zone", "age", "mood"]
    assert said.text == render_answer(answer, tools)
