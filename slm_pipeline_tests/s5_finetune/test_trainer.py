"""Training learns, is the same for the same seed, and goes on after a kill as if nothing had happened."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.lora import fuse_lora
from slm_pipeline.s5_finetune.loss import collate
from slm_pipeline.s5_finetune.methods import load_model, with_trainable
from slm_pipeline.s5_finetune.trainer import backward, batches_by_length, mean_loss, parts, train
from slm_pipeline_tests.s5_finetune.toy import CONFIG, PAD, examples, loss_of, same, trained_weights
from slm_pipeline_tests.tiny import make_tiny_base


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


def fresh(folder):
    return with_trainable(load_model(folder), CONFIG)


def test_validation_loss_falls(folder):
    model, validation = fresh(folder), examples(8)
    untrained = mean_loss(model, validation, CONFIG.batch_size, lambda batch: loss_of(model, batch))
    progress = train(model, examples(40), validation, CONFIG, PAD)
    losses = [point["val_loss"] for point in progress.curves if "val_loss" in point]
    assert progress.best_loss == min(losses) < 0.95 * untrained


def test_same_seed_same_weights(folder):
    models = [fresh(folder), fresh(folder)]
    for model in models:
        train(model, examples(20), examples(4), CONFIG, PAD)
    assert same(*map(trained_weights, models))


def test_a_killed_training_goes_on_to_the_same_weights(folder, tmp_path):
    class Killed(BaseException):
        pass

    def kill(progress, total):
        if progress.step == 8:
            raise Killed

    whole, resumed, checkpoint = fresh(folder), fresh(folder), tmp_path / "state.pt"
    steps = train(whole, examples(20), examples(4), CONFIG, PAD).step
    with pytest.raises(Killed):
        train(fresh(folder), examples(20), examples(4), CONFIG, PAD, checkpoint, 3, kill)
    seen = []
    progress = train(resumed, examples(20), examples(4), CONFIG, PAD, checkpoint, 3, lambda p, total: seen.append(p.step))
    assert seen[0] == 7
    assert progress.step == steps
    assert same(trained_weights(whole), trained_weights(resumed))


def test_early_stopping_keeps_the_best_epoch(folder):
    config = replace(CONFIG, epochs=6, patience=1)
    other_task = [Encoded(e.prompt, [60, 61, 62, 1]) for e in examples(8)]
    model = fresh(folder)
    progress = train(model, examples(40), other_task, config, PAD)
    assert progress.epoch < config.epochs
    assert progress.best_epoch == progress.epoch - 2


def test_only_upper_layers_are_trained(folder):
    assert {name.split(".layers.")[1].split(".")[0] for name in trained_weights(fresh(folder))} == {"2", "3"}


def test_loss_is_that_of_full_logits(folder):
    """Against transformers' own loss with labels at answer positions."""
    model = load_model(folder).float()
    ids, labels = collate(examples(6), PAD)
    ours, tokens = loss_of(model, examples(6))
    assert tokens == int((labels != -100).sum())
    torch.testing.assert_close(ours, model(input_ids=ids, labels=labels).loss)


def test_frozen_layers_are_computed_once_to_the_same_effect(folder):
    model, batch = fresh(folder), examples(4)
    frozen = FrozenPart(model, CONFIG.trained_layers(4), batch, 4, PAD)
    assert len(frozen.hidden) == 4
    whole, _ = loss_of(model, batch)
    torch.testing.assert_close(frozen.loss(batch)[0], whole)


@given(st.lists(st.integers(1, 100), min_size=1, max_size=12), st.integers(1, 300))
def test_parts_of_a_batch_are_small_and_leave_none_out(sizes, most):
    found = parts(sizes, most)
    assert [size for part in found for size in sizes[part]] == sizes
    for part in found:
        assert len(sizes[part]) == 1 or len(sizes[part]) * max(sizes[part]) <= most


@pytest.mark.parametrize("most", [1, 24, 10_000])
def test_a_batch_in_parts_has_the_gradients_of_the_whole(most, folder, monkeypatch):
    monkeypatch.setattr("slm_pipeline.s5_finetune.trainer.PASS_TOKENS", most)
    model, batch = fresh(folder).float(), [*examples(5), Encoded([5, 9, 20], [20, 1])]
    whole, _ = loss_of(model, batch)
    whole.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    asked = []

    def objective(part):
        asked.append(part)
        return loss_of(model, part)

    loss = backward(batch, objective, [*map(len, batch)], [len(e.answer) for e in batch], "cpu")
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    assert len(asked) == {1: 6, 24: 3, 10_000: 1}[most]
    for name, gradient in gradients.items():
        torch.testing.assert_close(model.get_parameter(name).grad, gradient, rtol=1e-4, atol=1e-6)


def test_every_example_is_seen_as_often_as_it_says():
    pool = [*examples(10), Encoded([1], [2], repeats=3)]
    batches = batches_by_length(pool, 4, seed=1, epoch=0)
    seen = [e for batch in batches for e in batch]
    assert len(seen) == 13
    assert seen.count(pool[-1]) == 3
    assert batches != batches_by_length(pool, 4, seed=1, epoch=1)


@pytest.mark.parametrize(("dtype", "near"), [(torch.float32, 1e-5), (torch.bfloat16, 0.1)])
def test_fused_layers_give_the_outputs_and_gradients_of_peft(folder, dtype, near):
    model, batch = fresh(folder), examples(6)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.data = weight.data.to(torch.float32 if "lora_" in name else dtype)
            if "lora_B" in name:
                weight.normal_(std=0.1)
    measured = []
    for prepare in (lambda model: None, fuse_lora):
        prepare(model)
        model.zero_grad()
        loss, _ = loss_of(model, batch)
        loss.backward()
        measured.append((loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}))
    (loss, gradients), (fused_loss, fused_gradients) = measured
    assert fused_loss == pytest.approx(loss, rel=near)
    for name, gradient in gradients.items():
        assert fused_gradients[name].dtype == torch.float32
        assert (fused_gradients[name] - gradient).norm() <= near * gradient.norm()
        assert gradient.abs().max() > 0
