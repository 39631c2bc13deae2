"""Every way of training learns, is the same for the same seed, goes on after a kill, and is served by llama.cpp in the form it can."""

import json
from dataclasses import replace
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file

from slm_pipeline.resources.engine import Engine
from slm_pipeline.s4_select.base_models import ensure_base
from slm_pipeline.s5_finetune.export.merge import adapted_model
from slm_pipeline.s5_finetune.fit import fit, served
from slm_pipeline.s5_finetune.methods import FULL, MethodUnavailable, load_model, with_trainable
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.toy import CONFIG, dataset, examples, files, loss_of, trained_weights
from slm_pipeline_tests.tiny import NAME, make_tiny_base

METHODS = ("lora", "rslora", "dora", "full")
no_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="QLORA NOT TESTED: pip install bitsandbytes")


class Killed(BaseException):
    pass


@pytest.fixture
def base(home):
    make_tiny_base(home)
    return ensure_base(NAME, get_settings())


@pytest.mark.parametrize("method", [*METHODS, pytest.param("qlora", marks=no_bitsandbytes)])
def test_learns_goes_on_after_a_kill_and_is_served(method, base, home, monkeypatch):
    monkeypatch.setenv("SLM_CHECKPOINT_STEPS", "3")
    config, settings = replace(CONFIG, method=method), get_settings()
    whole, resumed = home / "whole", home / "resumed"
    whole.mkdir()
    resumed.mkdir()
    untrained, _ = loss_of(load_model(base.folder, method), examples(4))
    curves = fit(base, dataset(), config, settings, whole)
    assert curves["best_loss"] < 0.95 * untrained.item()

    def kill(step: int, steps: int, loss: float) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        fit(base, dataset(), config, settings, resumed, home / "state.pt", kill)
    assert fit(base, dataset(), config, settings, resumed, home / "state.pt") == curves
    assert files(resumed) == files(whole)

    again = adapted_model(whole, base.folder)
    assert loss_of(again, examples(4))[0].item() == pytest.approx(curves["best_loss"], rel=0.05), "what was written is what was trained"
    with Engine(*served(base, whole), 256) as engine:
        (completion,) = engine.complete(["say it"], [None], 8)
    assert completion.tokens


def test_an_adapter_beside_the_base_is_served_where_llama_cpp_knows_its_form(base, home):
    forms = {}
    for method in METHODS:
        folder = home / method
        folder.mkdir()
        fit(base, dataset(8), replace(CONFIG, method=method, epochs=1), get_settings(), folder)
        forms[method] = served(base, folder)
    beside = {method: (base.gguf, home / method / "adapter.gguf") for method in ("lora", "rslora")}
    merged = {method: (home / method / "model.gguf", None) for method in ("dora", "full")}
    assert forms == beside | merged


def test_methods_are_what_they_are_called(base):
    """rsLoRA scales by alpha over the root of the rank; DoRA learns the length of each output's weights besides."""
    models = {method: with_trainable(load_model(base.folder), replace(CONFIG, method=method)) for method in METHODS}
    scaling = {method: _first_adapted(models[method]).scaling["default"] for method in ("lora", "rslora")}
    assert scaling == {"lora": 2 * CONFIG.rank / CONFIG.rank, "rslora": 2 * CONFIG.rank / CONFIG.rank**0.5}
    lengths = {name for name in trained_weights(models["dora"]) if "lora_magnitude_vector" in name}
    assert len(lengths) == len([name for name in trained_weights(models["lora"]) if "lora_A" in name])


def test_full_fine_tuning_trains_the_upper_layers_and_writes_only_these(base, home):
    fit(base, dataset(8), replace(CONFIG, method="full", epochs=1), get_settings(), home)
    written, before = load_file(home / FULL), load_model(base.folder, "full").state_dict()
    assert {name.split(".")[2] for name in written} == {"2", "3"}
    assert written.keys() < before.keys()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in written.items())


def test_full_fine_tuning_of_every_layer_trains_every_weight(base):
    model = with_trainable(load_model(base.folder, "full"), replace(CONFIG, method="full", upper_layers=1.0))
    assert trained_weights(model).keys() == dict(model.named_parameters()).keys()


def test_a_base_without_padding_token_is_trained(base, home):
    config = base.folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"pad_token_id": None}))
    curves = fit(base, dataset(), CONFIG, get_settings(), home)
    assert curves["best_loss"] < curves["curves"][0]["train_loss"]


def test_qlora_without_bitsandbytes_says_what_to_do(base, home, monkeypatch):
    monkeypatch.setattr("transformers.utils.is_bitsandbytes_available", lambda: False)
    with pytest.raises(MethodUnavailable, match="pip install bitsandbytes, or set SLM_TRAINING_METHOD=lora"):
        fit(base, dataset(8), replace(CONFIG, method="qlora"), get_settings(), home)


def _first_adapted(model):
    return next(module for module in model.modules() if hasattr(module, "lora_A"))
