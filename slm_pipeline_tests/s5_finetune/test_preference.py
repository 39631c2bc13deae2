"""After failures the LLM's answer is likelier, against the SLM's own, than it was; and nothing else is lost for it."""

import math
from dataclasses import replace

import pytest
import torch

from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s5_finetune import preference
from slm_pipeline.s5_finetune.dataset import Encoded, Preference
from slm_pipeline.s5_finetune.fit import fit, trained
from slm_pipeline.s5_finetune.loss import collate
from slm_pipeline.s5_finetune.methods import load_model, with_trainable
from slm_pipeline.s5_finetune.preference import answer_log_probs, prefer
from slm_pipeline.settings import get_settings
from slm_pipeline_tests.s5_finetune.toy import CONFIG, PAD, dataset, examples, files, same, trained_weights
from slm_pipeline_tests.tiny import NAME, make_tiny_base

BETA = 0.1


@pytest.fixture
def base(home):
    folder = make_tiny_base(home)
    return BaseFiles(NAME, folder, folder / "model.gguf")


def failed(count: int = 12):
    """A dataset of whose examples `count` were answered with another token than theirs; lengths differ too."""
    learned = dataset()
    wrong = [[20 + (token - 19) % 11 for token in example.answer[: 1 + i % 3]] + [1] for i, example in enumerate(learned.training)]
    pairs = [Preference(example, Encoded(example.prompt, answer)) for example, answer in zip(learned.training, wrong, strict=True)]
    return replace(learned, preferences=tuple(pairs[:count]))


@pytest.mark.parametrize("method", ["lora", "full"])
def test_preferred_answers_gain_on_rejected_ones(base, method):
    _, progress, found = trained(base, failed(16), replace(CONFIG, method=method), get_settings())
    assert found["pairs"] == 16
    assert found["margin_after"] > found["margin_before"]
    assert found["preferred_after"] >= found["preferred_before"]
    assert found["kept"]
    assert found["val_loss_before"] == pytest.approx(progress.best_loss, rel=1e-3)


def test_too_few_failures_change_nothing(base):
    alone, _, _ = trained(base, dataset(), CONFIG, get_settings())
    model, _, found = trained(base, failed(15), CONFIG, get_settings())
    assert found is None
    assert same(trained_weights(model), trained_weights(alone))


def test_what_costs_too_much_of_what_was_learned_is_undone(base, monkeypatch):
    monkeypatch.setattr(preference, "RATE", 10_000)
    alone, _, _ = trained(base, dataset(), CONFIG, get_settings())
    model, _, found = trained(base, failed(16), CONFIG, get_settings())
    assert found["val_loss_after"] > 1.1 * found["val_loss_before"]
    assert not found["kept"]
    assert same(trained_weights(model), trained_weights(alone))


def test_same_seed_same_bytes_after_a_kill_in_the_second_phase(base, home, monkeypatch):
    whole, resumed = home / "whole", home / "resumed"
    whole.mkdir()
    resumed.mkdir()
    curves = fit(base, failed(16), CONFIG, get_settings(), whole)

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(preference, "prefer", kill)
        with pytest.raises(KeyboardInterrupt):
            fit(base, failed(16), CONFIG, get_settings(), resumed, home / "state.pt")
    steps = []
    assert fit(base, failed(16), CONFIG, get_settings(), resumed, home / "state.pt", lambda step, *_: steps.append(step)) == curves
    assert not steps, "the first phase is not done again"
    assert files(resumed) == files(whole)


def test_the_first_loss_is_that_of_a_coin(base, monkeypatch):
    """Before the first step model and reference are one: every pair's loss is log 2 (Rafailov et al. 2023, equation 7)."""
    losses = []
    backward = torch.Tensor.backward
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss, *args: (losses.append(loss.item()), backward(loss, *args))[1])
    prefer(with_trainable(load_model(base.folder), CONFIG).train(), failed(16), CONFIG, BETA, PAD)
    assert losses[0] == pytest.approx(math.log(2), rel=1e-3)
    assert min(losses[1:]) < math.log(2)


def test_log_probabilities_are_those_of_each_answer_alone(base):
    model, batch = load_model(base.folder, "full"), examples(5)
    ids, labels = collate(batch, PAD)
    with torch.no_grad():
        told, tokens = answer_log_probs(model, {"input_ids": ids}, labels)
        logits = [model(input_ids=torch.tensor([e.prompt + e.answer])).logits[0].log_softmax(-1) for e in batch]
    expected = [
        sum(float(row[at - 1, (e.prompt + e.answer)[at]]) for at in range(len(e.prompt), len(e)))
        for row, e in zip(logits, batch, strict=True)
    ]
    torch.testing.assert_close(told, torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert tokens == sum(len(e.answer) for e in batch)
