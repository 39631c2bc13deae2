"""LoRA fine-tuning with the loss, and the logits, at answer positions only.

The vocabulary projection is the dearest matrix product of a small model; prompt positions never need it. Adapters sit in
the upper layers only, so nothing is back-propagated through the lower ones, which are computed once (`frozen.py`).
"""

import json
import os
import random
import warnings
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path

# Threads that spin while they wait cost a factor of ten as soon as anything else runs on the cores. torch reads this when it is
# first imported, unless the user has set something else; llama.cpp's process must not inherit it.
if unset := "OMP_WAIT_POLICY" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "passive"

import torch

if unset:
    del os.environ["OMP_WAIT_POLICY"]

from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.lora import merge_in_forward


@dataclass
class Progress:
    """All that a resumed training needs besides the tensors."""

    epoch: int = 0
    batch: int = 0
    step: int = 0
    curves: list[dict] = field(default_factory=list)
    best_epoch: int = -1
    best_loss: float = float("inf")


def batches_by_length(examples: list[Encoded], size: int, seed: int, epoch: int) -> list[list[Encoded]]:
    """Batches of examples of like length, in an order that `seed` and `epoch` fix; little padding, no curriculum."""
    shuffle = random.Random(f"{seed}:{epoch}")
    pool = [e for e in examples for _ in range(e.repeats)]
    shuffle.shuffle(pool)
    pool.sort(key=lambda e: len(e) // 8)
    batches = [pool[i : i + size] for i in range(0, len(pool), size)]
    shuffle.shuffle(batches)
    return batches


def with_lora(model, config: Configuration, excluded: Collection[str] = ()):
    """The model with fresh, seeded LoRA weights in its upper layers; only these are trainable. `excluded` names linear modules
    that carry none."""
    from peft import LoraConfig as PeftConfig
    from peft import get_peft_model

    # peft asks transformers by a name that the latter has deprecated
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    linear = {name.rsplit(".", 1)[-1] for name, m in model.get_decoder().named_modules() if isinstance(m, torch.nn.Linear)}
    torch.manual_seed(config.seed)
    return get_peft_model(
        model,
        PeftConfig(
            r=config.rank,
            lora_alpha=2 * config.rank,
            target_modules=sorted(linear - set(excluded)),
            layers_to_transform=config.trained_layers(model.config.num_hidden_layers),
            task_type="CAUSAL_LM",
        ),
    )


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
) -> Progress:
    """Train the LoRA weights of `model` in place; they end as those of the epoch with the lowest validation loss.

    Stops after `config.patience` epochs without a lower validation loss. With `checkpoint`, the state is written there
    every `checkpoint_steps` steps and at each epoch's end, and training goes on from it if it exists; resumed or not,
    the result is the same, bit for bit. `on_step(progress, steps in all)` is called after every step,
    `on_epoch(progress)` after every epoch was validated; what they raise ends the training.
    """
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    weights = {name: p for name, p in model.named_parameters() if p.requires_grad}
    per_epoch = len(batches_by_length(training, config.batch_size, config.seed, 0))
    total = per_epoch * config.epochs
    optimizer = torch.optim.AdamW(weights.values(), lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_and_decay(step, total))
    progress, best = Progress(), {}
    if checkpoint and checkpoint.exists():
        progress, best = _resume(checkpoint, weights, optimizer, schedule)
    model.train()
    merge_in_forward(model)
    loss_of = FrozenPart(model, config.trained_layers(model.config.num_hidden_layers), training + validation, config.batch_size, pad).loss
    while progress.epoch < config.epochs and progress.epoch - progress.best_epoch <= config.patience:
        batches = batches_by_length(training, config.batch_size, config.seed, progress.epoch)
        while progress.batch < len(batches):
            loss, _ = loss_of(batches[progress.batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            progress.batch += 1
            progress.step += 1
            progress.curves.append({"step": progress.step, "epoch": progress.epoch, "train_loss": loss.item()})
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


def _resume(path: Path, weights, optimizer, schedule) -> tuple[Progress, dict]:
    state = torch.load(path, weights_only=True)
    with torch.no_grad():
        for name, p in weights.items():
            p.copy_(state["weights"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return Progress(**state["progress"]), state["best"]


def training_dtype() -> torch.dtype:
    """bf16 where the processor multiplies it natively, else fp32; a property of the machine, not of its load."""
    return torch.bfloat16 if torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def load_model(folder: Path):
    """The base model in `folder`, frozen weights in `training_dtype`."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=training_dtype())


def save_adapter(model, base_name: str, folder: Path) -> None:
    """Write the adapter as peft does, but the same bytes for the same weights: peft's config holds a set and a local path."""
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config |= {"base_model_name_or_path": base_name, "target_modules": sorted(config["target_modules"])}
    path.write_text(json.dumps(config, indent=1, sort_keys=True))
