"""A task that a tiny model learns in a few steps, and what tests of training share."""

from pathlib import Path

import torch

from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Dataset, Encoded
from slm_pipeline.s5_finetune.loss import answer_loss, collate

CONFIG = Configuration(method="lora", rank=4, upper_layers=0.5, learning_rate=1e-2, epochs=3, batch_size=4, patience=3, seed=7)
PAD = 1


def examples(count: int) -> list[Encoded]:
    """The answer is the prompt's third token, three times; lengths differ."""
    return [Encoded([5 + i % 7, 9, 20 + i % 11] + [3] * (i % 5), [20 + i % 11] * 3 + [1]) for i in range(count)]


def dataset(training: int = 20, validation: int = 4) -> Dataset:
    return Dataset(examples(training), examples(validation), "digest", 0, 0)


def trained_weights(model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def loss_of(model, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
    """The loss of the whole model, no layer computed beforehand."""
    ids, labels = collate(batch, PAD)
    return answer_loss(model, {"input_ids": ids}, labels)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
