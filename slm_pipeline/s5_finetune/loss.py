"""The training loss: cross-entropy at answer positions, with logits computed nowhere else."""

from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.passive_torch import torch

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

    `inputs` is what the decoder takes.
    """
    logits, targets = answer_logits(model, inputs, labels)
    return torch.nn.functional.cross_entropy(logits, targets), len(targets)


def answer_logits(model, inputs: dict[str, torch.Tensor], labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (answer tokens of all rows, vocabulary) in fp32, and the tokens that stand there.

    The model's own forward makes them, of a decoder that says answer positions only: some scale or cap what the head says.
    """
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    wanted = labels[:, 1:] != IGNORED

    def answers_only(decoder, told, output):
        output.last_hidden_state = output.last_hidden_state[:, :-1][wanted][None]
        return output

    hook = causal.get_decoder().register_forward_hook(answers_only)
    try:
        logits = causal(**inputs, use_cache=False).logits.squeeze(0)
    finally:
        hook.remove()
    return logits.float(), labels[:, 1:][wanted]
