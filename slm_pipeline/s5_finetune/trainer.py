"""Fine-tuning with the loss, and the logits, at answer positions only.

The vocabulary projection is the dearest matrix product of a small model; prompt positions never need it. What is trained lies in
the upper layers only, so nothing is back-propagated through the lower ones, which are computed once (`frozen.py`).
"""

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from slm_pipeline.s5_finetune.activated import trained_part
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.lora import fuse_lora
from slm_pipeline.s5_finetune.memory import kept_memory
from slm_pipeline.s5_finetune.methods import invocation
from slm_pipeline.s5_finetune.passive_torch import torch

if TYPE_CHECKING:
    from slm_pipeline.s5_finetune.distributed import Together


@dataclass
class Progress:
    """All that a resumed training needs besides the tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    curves: list[dict] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")


SHORT = 400
"""Tokens up to which attention as plain matrix products is faster on a processor than torch's fused kernel, above all backwards: for twelve
layers of SmolLM2 forth and back, 0.55 against 0.73 s at 100 tokens, 1.8 against 2.4 s at 300."""


PASS_TOKENS = 2048
"""Tokens of a batch, padding counted, that a processor computes at once: more at once takes more memory and is no faster."""


def choose_attention(model, longest: int) -> None:
    """Let a model on a processor attend by plain products if no sequence is longer than SHORT."""
    if model.device.type == "cpu" and longest <= SHORT:
        causal = model.get_base_model() if hasattr(model, "get_base_model") else model
        causal.set_attn_implementation("eager")


def batches_by_length(examples: list[Encoded], size: int, seed: int, epoch: int) -> list[list[Encoded]]:
    """Batches of examples of like length, in an order that `seed` and `epoch` fix; little padding, no curriculum."""
    shuffle = random.Random(f"{seed}:{epoch}")
    pool = [e for e in examples for _ in range(e.repeats)]
    shuffle.shuffle(pool)
    pool.sort(key=lambda e: len(e) // 8)
    batches = [pool[i : i + size] for i in range(0, len(pool), size)]
    shuffle.shuffle(batches)
    return batches


@kept_memory()
def train(
    model,
    training: list[Encoded],
    validation: list[Encoded],
    config: Configuration,
    pad: int,
    checkpoint: Path | None = None,
    checkpoint_steps: int = 20,
    on_step: Callable[[Progress, int], None] = lambda progress, total: None,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
    gradient_checkpointing: bool = False,
    together: "Together | None" = None,
    objective: Callable[[FrozenPart, list[Encoded]], tuple[torch.Tensor, int]] = lambda part, batch: part.loss(batch),
) -> Progress:
    """Train the trainable weights of `model` in place; they end as those of the epoch with the lowest validation loss.

    Stops after `config.patience` epochs without a lower validation loss. With `checkpoint`, the state is written there
    every `checkpoint_steps` steps and at each epoch's end, and training goes on from it if it exists; resumed or not,
    the result is the same, bit for bit. `on_step(progress, steps in all)` is called after every step,
    `on_epoch(progress)` after every epoch was validated; what they raise ends the training. `gradient_checkpointing` keeps no
    activations within the trained layers, but computes them again for the gradients (Chen et al. 2016): the same weights.
    With `together`, this process computes its share of every batch, and all processes end with the same weights.
    `objective` is what is made small on training batches; validation always is cross-entropy.
    """
    # some kernels of a GPU have no deterministic form: there, a warning
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    torch.utils.deterministic.fill_uninitialized_memory = False
    model.train()
    fuse_lora(model)
    choose_attention(model, max(map(len, training + validation)))
    if gradient_checkpointing and not invocation(model):  # transformers would take the kept prompts away; answers alone need little memory
        model.activation_checkpointing_enable({"use_reentrant": False})
    part = trained_part(model, config, training + validation, pad)
    objective_of, loss_of = partial(objective, part), part.loss
    state = torch.load(checkpoint, map_location="cpu", weights_only=True) if checkpoint and checkpoint.exists() else None
    if together:
        (objective_of, loss_of), state = together.shared(model, objective_of, loss_of), together.from_main(state)
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    per_epoch = len(batches_by_length(training, config.batch_size, config.seed, 0))
    total = per_epoch * config.epochs
    optimizer = torch.optim.AdamW(weights.values(), lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_and_decay(step, total))
    progress, best = _resume(state, weights, optimizer, schedule) if state else (Progress(), {})
    while progress.epoch < config.epochs and progress.epoch - progress.best_epoch <= config.patience:
        batches = batches_by_length(training, config.batch_size, config.seed, progress.epoch)
        while progress.batch < len(batches):
            batch = batches[progress.batch]
            loss = backward(batch, objective_of, [*map(part.computed, batch)], [len(e.answer) for e in batch], model.device.type)
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.batch += 1
            progress.step += 1
            progress.curves.append({"step": progress.step, "epoch": progress.epoch, "train_loss": loss})
            on_step(progress, total)
            if checkpoint and progress.step % checkpoint_steps == 0:
                _save(checkpoint, progress, weights, optimizer, schedule, best)
        value = mean_loss(model, validation, config.batch_size, loss_of)
        progress.curves[-1]["val_loss"] = value
        if value < progress.best_loss:
            progress.best_loss, progress.best_epoch = value, progress.epoch
            best = {name: p.detach().clone() for name, p in weights.items()}
        progress.epoch, progress.batch = progress.epoch + 1, 0
        if checkpoint:
            _save(checkpoint, progress, weights, optimizer, schedule, best)
        on_epoch(progress)
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(best[name])
    return progress


def backward(batch: list, objective: Callable[[list], tuple[torch.Tensor, int]], sizes: list[int], counts: list[int], device: str) -> float:
    """Add the gradients of the mean loss of `batch` to those that there are; says the loss.

    `objective` gives the mean loss of a part of the batch; `counts` are over how many it is taken for each of the batch, `sizes` the tokens
    of each. On a processor the batch is computed in parts of at most PASS_TOKENS.
    """
    mean = 0.0
    for part in parts(sizes, PASS_TOKENS) if device == "cpu" else [slice(None)]:
        loss, _ = objective(batch[part])
        share = sum(counts[part]) / sum(counts)
        (loss * share).backward()
        mean += loss.item() * share
    return mean


def parts(sizes: list[int], most: int) -> list[slice]:
    """Parts of a row of sequences, one after the other: as many of them as have at most so many tokens when they are padded, or one."""
    found, start = [], 0
    for end in range(1, len(sizes) + 1):
        if end == len(sizes) or (end + 1 - start) * max(sizes[start : end + 1]) > most:
            found.append(slice(start, end))
            start = end
    return found


@torch.no_grad()
def mean_loss(model, examples: list[Encoded], batch_size: int, loss_of: Callable[[list[Encoded]], tuple[torch.Tensor, int]]) -> float:
    """Cross-entropy in nats per answer token over `examples`; `loss_of` gives that of a batch, and its answer tokens."""
    model.eval()
    total, tokens = 0.0, 0
    for batch in batches_by_length(examples, batch_size, 0, 0):
        loss, n = loss_of(batch)
        total, tokens = total + loss.item() * n, tokens + n
    model.train()
    return total / tokens


def warmup_and_decay(step: int, total: int) -> float:
    """Linear warm-up over the first 5 % of steps, then a linear fall to a third: in few epochs, a tenth ends training too early."""
    warmup = max(1, total // 20)
    return (step + 1) / warmup if step < warmup else 1 - 2 / 3 * (step - warmup) / max(1, total - warmup)


def _save(path: Path, progress: Progress, weights, optimizer, schedule, best) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "progress": asdict(progress),
        "weights": {name: p.detach() for name, p in weights.items()},
        "optimizer": optimizer.state_dict(),
        "schedule": schedule.state_dict(),
        "best": best,
    }
    torch.save(state, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)


def _resume(state: dict, weights, optimizer, schedule) -> tuple[Progress, dict]:
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(state["weights"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return Progress(**state["progress"]), state["best"]
