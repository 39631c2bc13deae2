"""Training learns, is the same for the same seed, and goes on after a kill as if nothing had happened."""

import pytest
import torch

from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.lora import merge_in_forward
from slm_pipeline.s5_finetune.loss import answer_loss, collate
from slm_pipeline.s5_finetune.trainer import batches_by_length, load_model, mean_loss, train, with_lora
from slm_pipeline_tests.tiny import make_tiny_base

CONFIG = Configuration(method="lora", rank=4, upper_layers=0.5, learning_rate=1e-2, epochs=3, batch_size=4, patience=3, seed=7)
PAD = 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_base(tmp_path_factory.mktemp("home"))


def examples(count: int) -> list[Encoded]:
    """The answer is the prompt's third token, three times; lengths differ."""
    return [Encoded([5 + i % 7, 9, 20 + i % 11] + [3] * (i % 5), [20 + i % 11] * 3 + [1]) for i in range(count)]


def fresh(folder):
    return with_lora(load_model(folder), CONFIG)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def loss_of(model, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
    """The loss of the whole model, no layer computed beforehand."""
    ids, labels = collate(batch, PAD)
    return answer_loss(model, {"input_ids": ids}, labels)


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
    assert same(*map(weights, models))


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
    assert same(weights(whole), weights(resumed))


def test_early_stopping_keeps_the_best_epoch(folder):
    config = Configuration(method="lora", rank=4, upper_layers=0.5, learning_rate=1e-2, epochs=6, batch_size=4, patience=1, seed=7)
    other_task = [Encoded(e.prompt, [60, 61, 62, 1]) for e in examples(8)]
    model = fresh(folder)
    progress = train(model, examples(40), other_task, config, PAD)
    assert progress.epoch < config.epochs
    assert progress.best_epoch == progress.epoch - 2


def test_only_upper_layers_are_trained(folder):
    assert {name.split(".layers.")[1].split(".")[0] for name in weights(fresh(folder))} == {"2", "3"}


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


def test_every_example_is_seen_as_often_as_it_says():
    pool = [*examples(10), Encoded([1], [2], repeats=3)]
    batches = batches_by_length(pool, 4, seed=1, epoch=0)
    seen = [e for batch in batches for e in batch]
    assert len(seen) == 13
    assert seen.count(pool[-1]) == 3
    assert batches != batches_by_length(pool, 4, seed=1, epoch=1)


def test_merged_layers_give_the_outputs_and_gradients_of_peft(folder):
    model, batch = fresh(folder).float(), examples(6)  # fp32 on any machine
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.1)
    measured = []
    for prepare in (lambda model: None, merge_in_forward):
        prepare(model)
        model.zero_grad()
        loss, _ = loss_of(model, batch)
        loss.backward()
        measured.append((loss.item(), {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}))
    (loss, gradients), (merged_loss, merged_gradients) = measured
    assert merged_loss == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(merged_gradients[name], gradient, rtol=1e-3, atol=1e-6)
        assert gradient.abs().max() > 0
