"""Activated LoRA: the adapter acts from the answer's header on, in training, in peft and in llama.cpp alike."""

from dataclasses import replace

import pytest
import torch

from slm_pipeline.prompting import answer_header, token_ids
from slm_pipeline.resources.engine import Engine
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s5_finetune.activated import trained_part
from slm_pipeline.s5_finetune.dataset import Dataset, Encoded
from slm_pipeline.s5_finetune.export import NotExportable, adapter_to_gguf
from slm_pipeline.s5_finetune.export.compare import greedy_answers, llama_cpp_answers
from slm_pipeline.s5_finetune.export.merge import adapted_model, merge
from slm_pipeline.s5_finetune.fit import fit, served
from slm_pipeline.s5_finetune.lora import fuse_lora
from slm_pipeline.s5_finetune.methods import MethodUnavailable, load_model, save_trained, with_trainable
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.toy import CONFIG, PAD, examples, files
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import ARCHITECTURES, add_gguf, make_tiny_model

ACTIVATED = replace(CONFIG, method="alora")
ATTEND = ("llama", "qwen", "gemma", "phi", "moe")


class Killed(BaseException):
    pass


def asked(folder, count: int) -> list[Encoded]:
    """The toy task, each prompt with the answer's header behind it."""
    header = token_ids(answer_header(folder), folder)
    return [replace(example, prompt=example.prompt + header) for example in examples(count)]


def strong(folder, upper_layers: float = 0.5):
    """A model with an activated adapter whose weights are random and large."""
    model = with_trainable(load_model(folder, "full"), replace(ACTIVATED, upper_layers=upper_layers))
    torch.manual_seed(3)
    with torch.no_grad():
        for p in (p for p in model.parameters() if p.requires_grad):
            p.add_(torch.randn_like(p), alpha=0.1)
    return model


@pytest.fixture(scope="module", params=ATTEND)
def folder(request, tmp_path_factory):
    folder = make_tiny_model(request.param, tmp_path_factory.mktemp(request.param))
    add_gguf(folder)
    return folder


@pytest.mark.parametrize("upper_layers", [0.5, 1.0])
def test_training_on_kept_prompts_gives_the_loss_of_pefts_own_forward(upper_layers, folder, tmp_path):
    model, batch = strong(folder, upper_layers), asked(folder, 6)
    save_trained(model, "base", tmp_path)
    fuse_lora(model)
    loss, tokens = trained_part(model, replace(ACTIVATED, upper_layers=upper_layers), batch, PAD).loss(batch)

    as_peft_does, total = adapted_model(tmp_path, folder), 0.0
    for example in batch:
        with torch.no_grad():
            logits = as_peft_does(input_ids=torch.tensor([example.prompt + example.answer])).logits[0]
        told = logits[len(example.prompt) - 1 : -1].log_softmax(-1)
        total -= float(sum(told[i, token] for i, token in enumerate(example.answer)))
    assert tokens == sum(len(example.answer) for example in batch)
    assert loss.item() == pytest.approx(total / tokens, rel=1e-4)


def test_examples_that_are_packed_together_do_not_see_each_other(folder):
    model, batch = strong(folder), asked(folder, 6)
    part = trained_part(model, ACTIVATED, batch, PAD)
    loss, tokens = part.loss(batch)
    alone = [part.loss([example]) for example in batch]
    assert loss.item() == pytest.approx(sum(one.item() * n for one, n in alone) / tokens, rel=1e-5)


def test_llama_cpp_activates_it_where_peft_does(folder, tmp_path):
    save_trained(strong(folder, upper_layers=1.0), "base", tmp_path)
    adapter_to_gguf(tmp_path, folder, tmp_path / "adapter.gguf")
    prompts = [
        f"<|im_start|>user\nsay {word}<|im_end|>\n<|im_start|>assistant\n" for word in ("one", "two", "three", "four", "five", "six")
    ]
    expected = greedy_answers(adapted_model(tmp_path, folder), prompts, folder, 4)
    said, base_says = (llama_cpp_answers(folder / "model.gguf", adapter, prompts, 256, 4) for adapter in (tmp_path / "adapter.gguf", None))
    assert sum(a == b for a, b in zip(said, expected, strict=True)) >= len(prompts) - 1
    assert sum(a == b for a, b in zip(said, base_says, strict=True)) <= 1, "the adapter changes nothing, so nothing is tested"


def test_it_learns_goes_on_after_a_kill_and_is_served(home, monkeypatch):
    monkeypatch.setenv("SLM_CHECKPOINT_STEPS", "3")
    make_tiny_base(home)
    base, settings = ensure_base(NAME, get_settings()), get_settings()
    data = Dataset(asked(base.folder, 20), asked(base.folder, 4), "digest", 0, 0)
    whole, resumed = home / "whole", home / "resumed"
    whole.mkdir()
    resumed.mkdir()
    curves = fit(base, data, ACTIVATED, settings, whole)
    assert curves["best_loss"] < 0.95 * curves["curves"][0]["train_loss"]

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        fit(base, data, ACTIVATED, settings, resumed, home / "state.pt", kill)
    assert fit(base, data, ACTIVATED, settings, resumed, home / "state.pt") == curves
    assert files(resumed) == files(whole)
    with Engine(*served(base, whole), 256) as engine:
        (completion,) = engine.complete(["say it"], [None], 8)
    assert completion.tokens
    with pytest.raises(NotExportable, match="acts on the answer only, so it cannot become a part of its base: export it as peft or gguf"):
        merge(whole, base.folder, home / "merged")


@pytest.mark.parametrize("architecture", sorted(set(ARCHITECTURES) - set(ATTEND)))
def test_what_keeps_more_than_keys_and_values_is_refused(architecture, tmp_path):
    folder = make_tiny_model(architecture, tmp_path)
    with pytest.raises(MethodUnavailable, match="not all of its layers attend; set SLM_TRAINING_METHOD=lora"):
        trained_part(with_trainable(load_model(folder), ACTIVATED), ACTIVATED, asked(folder, 4), PAD)


def test_prompts_longer_than_the_window_of_attention_are_refused(tmp_path):
    folder = make_tiny_model("gemma", tmp_path)
    long = [replace(example, prompt=[3] * 40 + example.prompt) for example in asked(folder, 4)]
    with pytest.raises(MethodUnavailable, match="a window shorter than the prompts"):
        trained_part(with_trainable(load_model(folder), ACTIVATED), ACTIVATED, long, PAD)


def test_prompts_without_the_header_are_refused(tmp_path):
    folder = make_tiny_model("llama", tmp_path)
    with pytest.raises(MethodUnavailable, match="begins at the answer's header"):
        trained_part(with_trainable(load_model(folder), ACTIVATED), ACTIVATED, examples(4), PAD)


def test_a_chat_template_without_a_header_is_refused(tmp_path):
    folder = make_tiny_model("llama", tmp_path)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}[INST] {{ m['content'] }} [/INST]{% endfor %}")
    with pytest.raises(MethodUnavailable, match="a chat template that announces the assistant's answer"):
        with_trainable(load_model(folder), ACTIVATED)


def test_a_conversation_that_goes_on_is_answered_as_if_it_were_new(tmp_path):
    """What an adapter said in the last turn is a prompt in the next, and there it has no part."""
    folder = make_tiny_model("llama", tmp_path)
    add_gguf(folder)
    save_trained(strong(folder, upper_layers=1.0), "base", tmp_path)
    adapter_to_gguf(tmp_path, folder, tmp_path / "adapter.gguf")
    first = "<|im_start|>user\nsay one<|im_end|>\n<|im_start|>assistant\n"
    with Engine(folder / "model.gguf", tmp_path / "adapter.gguf", 256) as engine:
        (said,) = engine.complete([first], [None], 8)
        following = f"{first}{said.text}<|im_end|>\n<|im_start|>user\nsay two<|im_end|>\n<|im_start|>assistant\n"
        (after,) = engine.complete([following], [None], 8)
    with Engine(folder / "model.gguf", tmp_path / "adapter.gguf", 256) as engine:
        assert engine.complete([following], [None], 8)[0].text == after.text


def test_gradient_checkpointing_changes_nothing(home):
    make_tiny_base(home)
    base, settings, curves = ensure_base(NAME, get_settings()), get_settings(), []
    data = Dataset(asked(base.folder, 8), asked(base.folder, 4), "digest", 0, 0)
    for checkpointing in (False, True):
        folder = home / str(checkpointing)
        folder.mkdir()
        curves.append(fit(base, data, ACTIVATED, settings.model_copy(update={"gradient_checkpointing": checkpointing}), folder))
    assert curves[0] == curves[1]
