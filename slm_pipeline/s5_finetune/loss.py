"""The training loss: cross-entropy at answer positions, with logits computed nowhere else."""

import torch
from torch.nn.functional import cross_entropy

from slm_pipeline.s5_finetune.dataset import Encoded

IGNORED = -100


def collate(batch: list[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels, both (batch, longest); labels are IGNORED at prompt and padding.

    Padding stands on the right, behind everything a causal model looks at, so no attention mask is needed.
    """
    width = max(map(len, batch))
    ids = torch.full((len(batch), width), pad)
    labels = torch.full((len(batch), width), IGNORED)
    for row, example in enumerate(batch):
        ids[row, : len(example)] = torch.tensor(example.prompt + example.answer)
        labels[row, len(example.prompt) : len(example)] = torch.tensor(example.answer)
    return ids, labels


def answer_loss(model, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Mean cross-entropy (nats per answer token) and the number of answer tokens; logits only where labels are.

    `inputs` is what the decoder takes: input_ids, or inputs_embeds where the layers below are computed already.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.get_decoder()(**inputs, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:] != IGNORED
    logits = causal.get_output_embeddings()(hidden[wanted])
    return cross_entropy(logits.float(), labels[:, 1:][wanted]), int(wanted.sum())
