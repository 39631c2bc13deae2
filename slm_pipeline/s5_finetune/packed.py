"""Sequences one behind the other in one row: no padding is computed, and each attends to itself only (Krell et al. 2021,
"Efficient Sequence Packing without Cross-contamination", arXiv 2107.02027)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from slm_pipeline.s5_finetune.passive_torch import torch

NAME = "packed"

Kept = dict[int, torch.Tensor]
"""By layer, the keys and values (2, heads, tokens, width) of what stands before a sequence."""


@contextmanager
def packed(decoder) -> Iterator[None]:
    """In the block, `decoder` attends by `attention`, and takes its `lengths` and what was `kept`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    usual = decoder.config._attn_implementation
    decoder.config._attn_implementation = NAME
    try:
        yield
    finally:
        decoder.config._attn_implementation = usual


def attention(module, query, key, value, attention_mask, *, lengths: list[int], kept: list[Kept] | None = None, **kwargs):
    """The model's own plain attention, sequence by sequence; says (1, tokens, heads, width).

    `query`, `key` and `value` (1, heads, tokens, width) hold sequences of `lengths` tokens, one behind the other. What was `kept` of each
    stands before it.
    """
    plain = sys.modules[type(module).__module__].eager_attention_forward
    said = []
    for i, (queries, keys, values) in enumerate(zip(*(of.split(lengths, dim=2) for of in (query, key, value)), strict=True)):
        if kept:
            keys, values = (
                torch.cat([earlier[None], own], dim=2) for earlier, own in zip(kept[i][module.layer_idx], (keys, values), strict=True)
            )
        said.append(plain(module, queries, keys, values, _causal(lengths[i], keys.shape[2], query), **kwargs)[0])
    return torch.cat(said, dim=1), None


def positions(lengths: list[int], before: list[int]) -> list[int]:
    """Where each token stands in its own sequence."""
    return [place for length, earlier in zip(lengths, before, strict=True) for place in range(earlier, earlier + length)]


def _causal(queries: int, keys: int, like: torch.Tensor) -> torch.Tensor:
    """Added to scores: the last query sees every key, the one before it all but the last, and so on."""
    return torch.full((queries, keys), torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device).triu(keys - queries + 1)
