"""Activated LoRA (Greenewald et al. 2025, arXiv 2504.12397): the adapter acts from the header of the answer on, not on the prompt.

So a prompt is the same to every adapter and in every epoch: its keys and values are computed once, by the base alone, and training runs
the upper layers on answers only. A server can keep a prompt's cache when it changes the adapter. What acts on some of the tokens
cannot be merged into the base.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart, Objective, StandIn
from slm_pipeline.s5_finetune.loss import IGNORED, answer_loss
from slm_pipeline.s5_finetune.methods import MethodUnavailable, invocation, layers_of
from slm_pipeline.s5_finetune.packed import packed, positions
from slm_pipeline.s5_finetune.passive_torch import torch

INSTEAD = "; set SLM_TRAINING_METHOD=lora"


def trained_part(model, config: Configuration, examples: list[Encoded], pad: int) -> FrozenPart:
    """What gives the loss of batches of `examples` while `model` is trained as `config` says.

    Raises MethodUnavailable for activated LoRA of what keeps more of a prompt than keys and values.
    """
    part = ActivatedPart if invocation(model) else FrozenPart
    return part(model, config.trained_layers(layers_of(model)), examples, config.batch_size, pad)


class ActivatedPart(FrozenPart):
    """Gives the loss of batches of examples, of which all that no adapter changes is computed once. Kept of each example: what enters the
    lowest trained layer at activated tokens, and the prompt's keys and values in the trained layers (layers, 2, heads, tokens, width)."""

    def computed(self, example: Encoded) -> int:
        """Tokens of an example that run through the trained layers in every epoch: header and answer."""
        return len(self.header) + len(example.answer)

    def loss(self, batch: list[Encoded], objective: Objective = answer_loss) -> tuple[torch.Tensor, int]:
        """What `objective` gives for a batch of the examples; the model is run on activated tokens, packed, behind the kept prompts."""
        prompts = [self.prompts[id(example)] for example in batch]
        labels = [label for example in batch for label in (*[IGNORED] * len(self.header), *example.answer)]
        rows, before = [self.header + example.answer for example in batch], [prompt.shape[-2] for prompt in prompts]
        kept = [dict(enumerate(prompt, start=self.cut)) for prompt in prompts]
        with self._upper(rows, before, [self.hidden[id(example)] for example in batch]) as inputs:
            return objective(self.model, inputs | {"kept": kept}, torch.tensor([labels], device=self.model.device))

    def _compute(self, batches: list[list[Encoded]]) -> None:
        self.header, self.prompts = invocation(self.model), {}
        self._require_attention(len(batches[-1][-1]))
        if any(example.prompt[-len(self.header) :] != self.header for batch in batches for example in batch):
            raise MethodUnavailable(f"activated LoRA begins at the answer's header, and not every prompt ends with it{INSTEAD}")
        self.tuples = self._says_tuples(batches[0])
        for batch in batches:
            self._keep(batch)

    def _require_attention(self, longest: int) -> None:
        causal = self.model.get_base_model()
        config = causal.config.get_text_config()
        window = getattr(config, "sliding_window", None) or longest
        other = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
        if causal._is_stateful or other or longest > window:
            why = "its layers attend to a window shorter than the prompts" if longest > window else "not all of its layers attend"
            raise MethodUnavailable(f"activated LoRA keeps keys and values of prompts; {config.model_type} cannot: {why}{INSTEAD}")

    @torch.no_grad()
    def _keep(self, batch: list[Encoded]) -> None:
        """The lower layers are run on everything, the upper ones on what stands before the headers, of the base alone."""
        from transformers import DynamicCache

        entering = self._lower(batch)
        before = [len(example.prompt) - len(self.header) for example in batch]
        states = [entering[id(example)] for example in batch]
        rows = [example.prompt[:start] for example, start in zip(batch, before, strict=True)]
        cache = DynamicCache()
        prompts = [each[:start] for each, start in zip(states, before, strict=True)]
        with self._upper(rows, [0] * len(rows), prompts) as inputs, self.model.disable_adapter():
            self._decoder()(**inputs, past_key_values=cache, use_cache=True)
        kept = torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers[self.cut :]])
        for example, prompt, of, start in zip(batch, kept.split(before, dim=-2), states, before, strict=True):
            self.prompts[id(example)], self.hidden[id(example)] = prompt.clone(), of[start:].clone()

    @contextmanager
    def _upper(self, rows: list[list[int]], before: list[int], states: list[torch.Tensor]) -> Iterator[Json]:
        """The upper layers alone, on `rows` of tokens that stand `before` tokens from their beginnings; what the decoder then takes."""
        lengths, device = [*map(len, rows)], self.model.device
        stand_ins = [StandIn(self.tuples, torch.cat(states)[None]) for _ in range(self.cut)]
        with self._layers(stand_ins, slice(self.cut)), packed(self._decoder()):
            yield {
                "input_ids": torch.tensor([[token for row in rows for token in row]], device=device),
                "position_ids": torch.tensor([positions(lengths, before)], device=device),
                "lengths": lengths,
            }
