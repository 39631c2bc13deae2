"""The frozen lower layers of a model, computed once for every example and reused in every epoch.

What lies below the lowest trained layer gives the same hidden states in each epoch. They are kept, and training runs the
upper layers only, on them. Where a model's decoder cannot be cut that way, it is run whole, to the same effect.
"""

from collections.abc import Callable
from contextlib import contextmanager

from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.loss import answer_loss, collate
from slm_pipeline.s5_finetune.passive_torch import torch

Objective = Callable[[torch.nn.Module, dict[str, torch.Tensor], torch.Tensor], tuple[torch.Tensor, int]]
"""A loss as `loss.answer_loss` is one: model, inputs of its decoder, labels."""


class StandIn(torch.nn.Module):
    """Stands for a layer of a decoder: says `states`, or what it is told, which it keeps as `told`. `tuples`: its kind of layer says
    a tuple. As layers keep their places, decoders that look up what a layer is by its number find it."""

    def __init__(self, tuples: bool, states: torch.Tensor | None = None):
        super().__init__()
        self.tuples, self.states, self.told = tuples, states, None

    def forward(self, hidden: torch.Tensor, *args, **kwargs):
        self.told = hidden
        said = hidden if self.states is None else self.states
        return (said,) if self.tuples else said


class FrozenPart:
    """Gives the loss of batches of `examples`, with the layers below `trained_layers` computed at most once."""

    def __init__(self, model, trained_layers: list[int], examples: list[Encoded], batch_size: int, pad: int):
        self.model, self.pad, self.cut, self.tuples = model, pad, trained_layers[0], False
        self.hidden: dict[int, torch.Tensor] = {}
        by_length = sorted(examples, key=len)
        self._compute([by_length[i : i + batch_size] for i in range(0, len(by_length), batch_size)])

    def _compute(self, batches: list[list[Encoded]]) -> None:
        if self.cut and self._can_be_cut(batches[0]):
            for batch in batches:
                self.hidden |= self._lower(batch)

    def computed(self, example: Encoded) -> int:
        """Tokens of an example that run through the trained layers in every epoch."""
        return len(example)

    def loss(self, batch: list[Encoded], objective: Objective = answer_loss) -> tuple[torch.Tensor, int]:
        """What `objective` gives for a batch of the examples: by default mean loss (nats per answer token), number of answer tokens."""
        ids, labels = self._collated(batch)
        if not self.hidden:
            return objective(self.model, {"input_ids": ids}, labels)
        states = torch.nn.utils.rnn.pad_sequence([self.hidden[id(example)] for example in batch], batch_first=True)
        with self._layers([StandIn(self.tuples, states) for _ in range(self.cut)], slice(self.cut)):
            return objective(self.model, {"input_ids": ids}, labels)

    @torch.no_grad()
    def _lower(self, batch: list[Encoded]) -> dict[int, torch.Tensor]:
        """Hidden states (tokens, width) below the cut, by the identity of the example."""
        ids, _ = self._collated(batch)
        upper = [StandIn(self.tuples) for _ in self._decoder().layers[self.cut :]]
        with self._layers(upper, slice(self.cut, None)):
            self._decoder()(input_ids=ids, use_cache=False)
        return {id(example): upper[0].told[row, : len(example)].clone() for row, example in enumerate(batch)}

    @torch.no_grad()
    def _can_be_cut(self, batch: list[Encoded]) -> bool:
        """Whether lower and upper layers one after the other say exactly what the whole decoder says."""
        layers = getattr(self._decoder(), "layers", None)
        if layers is None:
            return False
        ids, labels = self._collated(batch)
        self.tuples = self._says_tuples(batch)
        whole, _ = answer_loss(self.model, {"input_ids": ids}, labels)
        self.hidden = self._lower(batch)
        cut, _ = self.loss(batch)
        self.hidden = {}
        return bool(torch.equal(whole, cut))

    @torch.no_grad()
    def _says_tuples(self, batch: list[Encoded]) -> bool:
        """Whether a layer of the decoder says a tuple."""
        said = []
        hook = self._decoder().layers[0].register_forward_hook(lambda layer, told, output: said.append(output))
        self._decoder()(input_ids=self._collated(batch[:1])[0], use_cache=False)
        hook.remove()
        return isinstance(said[0], tuple)

    def _collated(self, batch: list[Encoded]) -> tuple[torch.Tensor, torch.Tensor]:
        ids, labels = collate(batch, self.pad)
        return ids.to(self.model.device), labels.to(self.model.device)

    def _decoder(self):
        causal = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        return causal.get_decoder()

    @contextmanager
    def _layers(self, stand_ins: list[StandIn], part: slice):
        """The decoder with stand-ins for some of its layers."""
        decoder, layers = self._decoder(), self._decoder().layers
        placed = [*layers]
        placed[part] = stand_ins
        decoder.layers = torch.nn.ModuleList(placed)
        try:
            yield
        finally:
            decoder.layers = layers
