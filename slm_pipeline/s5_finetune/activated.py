"""Activated LoRA (Greenewald et al. 2025, arXiv 2504.12397): the adapter acts from the header of the answer on, not on the prompt.

So a prompt is the same to every adapter and in every epoch: its keys and values are computed once, by the base alone, and training runs
the upper layers on answers only. A server can keep a prompt's cache when it changes the adapter. What acts on some of the tokens
cannot be merged into the base.
"""

from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.configuration import Configuration
from slm_pipeline.s5_finetune.dataset import Encoded
from slm_pipeline.s5_finetune.frozen import FrozenPart, Objective, StandIn
from slm_pipeline.s5_finetune.loss import answer_loss
from slm_pipeline.s5_finetune.methods import MethodUnavailable, invocation, layers_of
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

    def loss(self, batch: list[Encoded], objective: Objective = answer_loss) -> tuple[torch.Tensor, int]:
        """What `objective` gives for a batch of the examples; the model is run on activated tokens, behind the kept prompts."""
        ids, labels = self._collated([Encoded(self.header, example.answer) for example in batch])
        states = torch.nn.utils.rnn.pad_sequence([self.hidden[id(example)] for example in batch], batch_first=True)
        with self._layers([StandIn(self.tuples, states) for _ in range(self.cut)], slice(self.cut)):
            return objective(self.model, {"input_ids": ids} | self._behind_prompts(batch, ids.shape[1]), labels)

    def _compute(self, batches: list[list[Encoded]]) -> None:
        self.header, self.prompts = invocation(self.model), {}
        self._require_attention(len(batches[-1][-1]))
        if any(example.prompt[-len(self.header) :] != self.header for batch in batches for example in batch):
            raise MethodUnavailable(f"activated LoRA begins at the answer's header, and not every prompt ends with it{INSTEAD}")
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
        from transformers import DynamicCache

        ids, _ = self._collated(batch)
        cache, seen = DynamicCache(), []
        hook = self._decoder().layers[self.cut].register_forward_hook(lambda layer, told, said: seen.append((told[0], said)))
        with self.model.disable_adapter():
            self._decoder()(input_ids=ids, past_key_values=cache, use_cache=True)
        hook.remove()
        ((entering, said),) = seen
        self.tuples = isinstance(said, tuple)
        kept = torch.stack([torch.stack([layer.keys, layer.values]) for layer in cache.layers[self.cut :]])
        for row, example in enumerate(batch):
            start = len(example.prompt) - len(self.header)
            self.hidden[id(example)] = entering[row, start : len(example)].clone()
            self.prompts[id(example)] = kept[:, :, row, :, :start].clone()

    def _behind_prompts(self, batch: list[Encoded], width: int) -> Json:
        """What the decoder takes so that `width` tokens of each row stand behind that row's prompt; shorter prompts are padded."""
        from transformers import DynamicCache

        prompts = [self.prompts[id(example)] for example in batch]
        lengths = torch.tensor([prompt.shape[-2] for prompt in prompts], device=self.model.device)[:, None]
        longest = int(lengths.max())
        padded = torch.stack([torch.nn.functional.pad(p, (0, 0, 0, longest - p.shape[-2])) for p in prompts], dim=2)
        cache = DynamicCache()
        for layer, (keys, values) in enumerate(padded, start=self.cut):
            cache.update(keys, values, layer)
        seen = (torch.arange(longest, device=lengths.device) < lengths)[:, None].expand(-1, width, -1)
        causal = torch.ones(width, width, dtype=torch.bool, device=lengths.device).tril().expand(len(batch), -1, -1)
        hidden = ~torch.cat([seen, causal], dim=-1)[:, None]
        mask = torch.zeros(hidden.shape, dtype=padded.dtype, device=lengths.device).masked_fill(hidden, torch.finfo(padded.dtype).min)
        positions = lengths + torch.arange(width, device=lengths.device)
        return {"attention_mask": mask, "position_ids": positions, "past_key_values": cache}
