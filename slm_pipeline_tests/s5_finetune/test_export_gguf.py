"""What an adapter says in PEFT it says in llama.cpp too, beside its base or merged into it; in every architecture."""

import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

from slm_pipeline.s5_finetune.export import NotExportable, adapter_to_gguf, model_to_gguf
from slm_pipeline.s5_finetune.export.compare import compare_logits, greedy_answers, last_logits, llama_cpp_answers
from slm_pipeline.s5_finetune.export.merge import adapted_model, merge
from slm_pipeline_tests.tiny_architectures import ARCHITECTURES, RELATED, add_gguf, make_tiny_adapter, make_tiny_model

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
PROMPTS = [f"<|im_start|>user\nsay {word}<|im_end|>\n<|im_start|>assistant\n" for word in WORDS]
TOKENS = 4


@pytest.fixture(scope="module")
def make(tmp_path_factory):
    """Folders of a tiny model and of an adapter for it, made once for each kind."""
    made = {}

    def make(architecture: str, method: str = "lora"):
        if architecture not in made:
            made[architecture] = make_tiny_model(architecture, tmp_path_factory.mktemp(architecture))
            add_gguf(made[architecture])
        if (architecture, method) not in made:
            made[architecture, method] = make_tiny_adapter(made[architecture], tmp_path_factory.mktemp(method), method)
        return made[architecture], made[architecture, method]

    return make


def answers(gguf, adapter=None) -> list[str]:
    return llama_cpp_answers(gguf, adapter, PROMPTS, 256, TOKENS)


def agree(one: list[str], other: list[str]) -> bool:
    """Nearly all answers are the same: of a random model's likeliest words two may be equally likely within fp16."""
    return sum(a == b for a, b in zip(one, other, strict=True)) >= len(PROMPTS) - 2


def loaded(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, *RELATED])
def test_an_adapter_says_the_same_beside_its_base_merged_and_in_peft(architecture, make, tmp_path):
    base, adapter = make(architecture)
    model = adapted_model(adapter, base)
    expected = greedy_answers(model, PROMPTS, base, TOKENS)
    assert not agree(expected, greedy_answers(loaded(base), PROMPTS, base, TOKENS)), "the adapter changes nothing, so nothing is tested"

    adapter_to_gguf(adapter, base, tmp_path / "adapter.gguf")
    assert agree(answers(base / "model.gguf", tmp_path / "adapter.gguf"), expected)

    merge(adapter, base, tmp_path / "merged")
    assert compare_logits("merged", loaded(tmp_path / "merged"), last_logits(model, PROMPTS, base), PROMPTS, base).passed
    model_to_gguf(tmp_path / "merged", base / "model.gguf", tmp_path / "merged.gguf", "f16")
    assert agree(answers(tmp_path / "merged.gguf"), expected)


def test_rslora_keeps_its_scale(make, tmp_path):
    """llama.cpp divides by the rank, rsLoRA by its root."""
    base, adapter = make("llama", "rslora")
    adapter_to_gguf(adapter, base, tmp_path / "adapter.gguf")
    expected = greedy_answers(adapted_model(adapter, base), PROMPTS, base, TOKENS)
    assert agree(answers(base / "model.gguf", tmp_path / "adapter.gguf"), expected)


@pytest.mark.parametrize(("method", "reason"), [("dora", "DoRA"), ("full", "full fine-tuning is no adapter")])
def test_what_is_no_gguf_adapter_is_refused_and_can_be_merged(method, reason, make, tmp_path):
    base, adapter = make("llama", method)
    with pytest.raises(NotExportable, match=reason):
        adapter_to_gguf(adapter, base, tmp_path / "adapter.gguf")
    assert not (tmp_path / "adapter.gguf").exists()
    merge(adapter, base, tmp_path / "merged")
    model_to_gguf(tmp_path / "merged", base / "model.gguf", tmp_path / "merged.gguf", "f16")
    expected = greedy_answers(adapted_model(adapter, base), PROMPTS, base, TOKENS)
    assert agree(answers(tmp_path / "merged.gguf"), expected)
    assert not agree(expected, greedy_answers(loaded(base), PROMPTS, base, TOKENS))


def test_an_unknown_architecture_is_refused_with_what_works_instead(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "hymba"}')
    with pytest.raises(NotExportable, match=r"'hymba' cannot be written as GGUF.*peft, merged or vllm"):
        adapter_to_gguf(tmp_path, tmp_path, tmp_path / "x.gguf")


def test_what_the_folder_has_not_is_taken_from_the_bases_own_file(make, tmp_path):
    """Rotary factors of long contexts stand in the GGUF file only; keys and vocabulary too."""
    from gguf import GGUFWriter

    base, _ = make("llama")
    own = GGUFReader(base / "model.gguf")
    writer = GGUFWriter(tmp_path / "like.gguf", "llama")
    for key in ("block_count", "rope.freq_base"):
        field = own.fields[f"llama.{key}"]
        writer.add_key_value(field.name, field.contents(), field.types[0])
    writer.add_token_list(own.fields["tokenizer.ggml.tokens"].contents())
    writer.add_add_bos_token(True)
    factors = torch.ones(16).numpy()
    writer.add_tensor("rope_freqs.weight", factors)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model_to_gguf(base, tmp_path / "like.gguf", tmp_path / "model.gguf", "q8_0")
    written = GGUFReader(tmp_path / "model.gguf")
    tensors = {tensor.name: tensor for tensor in written.tensors}
    assert list(tensors["rope_freqs.weight"].data) == list(factors)
    assert written.fields["llama.rope.freq_base"].contents() == own.fields["llama.rope.freq_base"].contents()
    assert written.fields["tokenizer.ggml.add_bos_token"].contents() is False, "the chat template writes it"
    assert tensors["blk.0.ffn_up.weight"].tensor_type.name == "Q8_0"
