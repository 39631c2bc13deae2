"""Preference tuning on logged failures: the LLM's answer shall be likelier than the SLM's own, by DPO (Rafailov et al. 2023, section 4).

One epoch after fine-tuning, whose weights are the reference: its log-probabilities of both answers are computed once, before. DPO is known
to make preferred answers less likely too, only less so than rejected ones (Pal et al. 2024); so what it made is kept only while the
validation answers stay about as likely as they were.
"""

import random
from functools import partial
from typing import TYPE_CHECKING

from slm_pipeline.s5_finetune.activated import trained_part
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Dataset, Preference
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.loss import IGNORED, answer_logits
from slm_pipeline.s5_finetune.passive_torch import torch
from slm_pipeline.s5_finetune.trainer import backward, mean_loss

if TYPE_CHECKING:
    from slm_pipeline.s5_finetune.distributed import Together

RATE = 0.1  # of the learning rate of fine-tuning: these steps correct, they do not teach
TOLERATED = 1.1  # times the validation loss before


def prefer(
    model, dataset: Dataset, config: Configuration, beta: float, pad: int, together: "Together | None" = None
) -> dict[str, float | int | bool]:
    """One epoch of DPO over `dataset.preferences`, in place. `margin`: mean difference, in nats, between the log-probabilities of preferred
    and rejected answer; `preferred`: share of pairs whose preferred answer is the likelier one. If validation loss rises too far, the
    weights stay as they were (`kept`)."""
    pairs = list(dataset.preferences)
    examples = [example for pair in pairs for example in (pair.preferred, pair.rejected)]
    part = trained_part(model, config, examples + dataset.judged_by, pad)
    size = max(1, config.batch_size // 2)
    margins = partial(_margins, part=part, size=size)
    before = margins(pairs)
    reference = {id(pair): margin for pair, margin in zip(pairs, before, strict=True)}

    def dpo_loss(batch: list[Preference]) -> tuple[torch.Tensor, int]:
        gained = margin(part, batch) - torch.stack([reference[id(pair)] for pair in batch])
        return -torch.nn.functional.logsigmoid(beta * gained).mean(), len(batch)

    objective, loss_of = together.shared(model, dpo_loss, part.loss) if together else (dpo_loss, part.loss)
    weights = [p for p in model.parameters() if p.requires_grad]
    kept = [p.detach().clone() for p in weights]
    loss = mean_loss(model, dataset.judged_by, config.batch_size, loss_of)
    optimizer = torch.optim.AdamW(weights, lr=RATE * config.learning_rate, weight_decay=0.0)
    shuffled = random.Random(config.seed).sample(pairs, len(pairs))
    for start in range(0, len(pairs), size):
        batch = shuffled[start : start + size]
        tokens = [part.computed(pair.preferred) + part.computed(pair.rejected) for pair in batch]
        backward(batch, objective, tokens, [1] * len(batch), model.device.type)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        optimizer.zero_grad()
    after, loss_after = margins(pairs), mean_loss(model, dataset.judged_by, config.batch_size, loss_of)
    if loss_after > TOLERATED * loss:
        with torch.no_grad():
            for p, value in zip(weights, kept, strict=True):
                p.copy_(value)
    return {
        "pairs": len(pairs),
        "margin_before": before.mean().item(),
        "margin_after": after.mean().item(),
        "preferred_before": (before > 0).float().mean().item(),
        "preferred_after": (after > 0).float().mean().item(),
        "val_loss_before": loss,
        "val_loss_after": loss_after,
        "kept": loss_after <= TOLERATED * loss,
    }


def margin(part: FrozenPart, batch: list[Preference]) -> torch.Tensor:
    """Log-probability of the preferred answer less that of the rejected one, in nats, (pairs)."""
    both = [pair.preferred for pair in batch] + [pair.rejected for pair in batch]
    log_probs, _ = part.loss(both, answer_log_probs)
    preferred, rejected = log_probs.chunk(2)
    return preferred - rejected


def answer_log_probs(model, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Log-probability of each answer, (answers), and the number of answer tokens. An answer is a run of labels: some token of a prompt
    stands before each, whether rows hold one sequence or several."""
    logits, targets = answer_logits(model, inputs, labels)
    told = -torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    answers, runs = torch.unique_consecutive(labels.flatten() != IGNORED, return_counts=True)
    lengths = runs[answers].tolist()
    return torch.stack([row.sum() for row in told.split(lengths)]), len(targets)


@torch.no_grad()
def _margins(pairs: list[Preference], part: FrozenPart, size: int) -> torch.Tensor:
    return torch.cat([margin(part, pairs[start : start + size]) for start in range(0, len(pairs), size)])
