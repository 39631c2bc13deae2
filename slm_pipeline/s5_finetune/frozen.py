"""The frozen lower layers of a model, computed once for every example and reused in every epoch.

What lies below the lowest trained layer gives the same hidden states in each epoch. They are kept, and training runs the
upper layers only, on them. Where a model's decoder cannot be cut that way, it is run whole, to the same effect.
"""

from contextlib import contextmanager

import torch

from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.loss import answer_loss, collate


class FrozenPart:
    """Gives the loss of batches of `examples`, with the layers below `trained_layers` computed at most once."""

    def __init__(self, model, trained_layers: list[int], examples: list[Encoded], batch_size: int, pad: int):
        self.model, self.pad, self.cut = model, pad, trained_layers[0]
        self.hidden: dict[int, torch.Tensor] = {}
        by_length = sorted(examples, key=len)
        batches = [by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)]
        if self.cut and self._can_be_cut(batches[0]):
            for batch in batches:
                self.hidden |= self._lower(batch)

    def loss(self, batch: list[Encoded]) -> tuple[torch.Tensor, int]:
        """Mean loss (nats per answer token) of a batch of the examples, and its number of answer tokens."""
        ids, labels = collate(batch, self.pad)
        if not self.hidden:
            return answer_loss(self.model, {"input_ids": ids}, labels)
        states = torch.nn.utils.rnn.pad_sequence([self.hidden[id(example)] for example in batch], batch_first=True)
        with self._only(slice(self.cut, None)):
            return answer_loss(self.model, {"inputs_embeds": states}, labels)

    @torch.no_grad()
    def _lower(self, batch: list[Encoded]) -> dict[int, torch.Tensor]:
        """Hidden states (tokens, width) below the cut, by the identity of the example."""
        ids, _ = collate(batch, self.pad)
        with self._only(slice(self.cut), torch.nn.Identity()):
            states = self._decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return {id(example): states[row, : len(example)].clone() for row, example in enumerate(batch)}

    @torch.no_grad()
    def _can_be_cut(self, batch: list[Encoded]) -> bool:
        """Whether lower and upper layers one after the other say exactly what the whole decoder says."""
        decoder = self._decoder()
        if not (hasattr(decoder, "layers") and hasattr(decoder, "norm")):
            return False
        ids, labels = collate(batch, self.pad)
        whole, _ = answer_loss(self.model, {"input_ids": ids}, labels)
        self.hidden = self._lower(batch)
        cut, _ = self.loss(batch)
        self.hidden = {}
        return bool(torch.equal(whole, cut))

    def _decoder(self):
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return causal.get_decoder()

    @contextmanager
    def _only(self, part: slice, norm: torch.nn.Module | None = None):
        """The decoder with some of its layers, and another final norm."""
        decoder = self._decoder()
        layers, last = decoder.layers, decoder.norm
        decoder.layers, decoder.norm = layers[part], norm or last
        try:
            yield
        finally:
            decoder.layers, decoder.norm = layers, last
