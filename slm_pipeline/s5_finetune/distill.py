"""Logit distillation (Hinton et al. 2015, section 2): the student learns what else the teacher might have said at each answer token.

The loss is (1 - alpha) cross-entropy with the recorded answer + alpha T^2 KL(teacher || student), both distributions at temperature T.
The teacher reads the prompt as it was sent, and the same answer, once. Its TOP likeliest tokens are kept and share all its probability,
which bounds memory. Learning recorded answers alone is sequence-level distillation (Kim & Rush 2016): what training does without this.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart
from slm_pipeline.s5_finetune.loss import answer_logits, collate
from slm_pipeline.s5_finetune.passive_torch import torch

TOP = 64

Told = tuple[torch.Tensor, torch.Tensor]
"""Log-probabilities at temperature T and token ids, both (answer tokens, TOP)."""


def distillation(
    folder: Path, examples: list[Encoded], batch_size: int, pad: int, words: int, alpha: float, temperature: float
) -> Callable[[FrozenPart, list[Encoded]], tuple[torch.Tensor, int]]:
    """The training loss of a student with `words` tokens on `examples`, taught by the model in `folder`."""
    from slm_pipeline.s5_finetune.methods import load_model

    told = what_teacher_says(load_model(folder).eval(), examples, batch_size, pad, words, temperature)

    def loss(frozen: FrozenPart, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
        log_probs, tokens = (torch.cat(parts) for parts in zip(*(told[id(example)] for example in batch), strict=True))
        return frozen.loss(
            batch, lambda model, inputs, labels: distillation_loss(model, inputs, labels, (log_probs, tokens), alpha, temperature)
        )

    return loss


def distillation_loss(
    model, inputs: dict[str, torch.Tensor], labels: torch.Tensor, told: Told, alpha: float, temperature: float
) -> tuple[torch.Tensor, int]:
    """Mean loss per answer token, and the number of answer tokens; `told` is what the teacher says at these, row by row."""
    logits, targets = answer_logits(model, inputs, labels)
    log_probs, tokens = told
    student = (logits / temperature).log_softmax(-1).gather(-1, tokens)
    divergence = (log_probs.exp() * (log_probs - student)).sum(-1).mean()
    return (1 - alpha) * torch.nn.functional.cross_entropy(logits, targets) + alpha * temperature**2 * divergence, len(targets)


@torch.no_grad()
def what_teacher_says(teacher, examples: list[Encoded], batch_size: int, pad: int, words: int, temperature: float) -> dict[int, Told]:
    """What `teacher` says at the answer tokens of each example, by the example's identity; only the first `words` tokens count, as some
    models of one family have rows that stand for no token."""
    told: dict[int, Told] = {}
    by_length = sorted(examples, key=lambda example: len(example.full_prompt) + len(example.answer))
    for batch in (by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)):
        ids, labels = (t.to(teacher.device) for t in collate([replace(e, prompt=e.full_prompt) for e in batch], pad))
        logits, _ = answer_logits(teacher, {"input_ids": ids}, labels)
        likeliest, tokens = (logits[:, :words] / temperature).topk(min(TOP, words))
        parts = zip(*(t.split([len(e.answer) for e in batch]) for t in (likeliest.log_softmax(-1), tokens)), strict=True)
        told |= {id(example): part for example, part in zip(batch, parts, strict=True)}
    return told
