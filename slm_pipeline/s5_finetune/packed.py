"""Sequences one behind the other in one row: no padding is computed, and each attends to itself only (Krell et al. 2021,
"Efficient Sequence Packing without Cross-contamination", arXiv 2107.02027)."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from slm_pipeline.s5_finetune.passive_torch import torch

NAME = "packed"


@contextmanager
def packed(decoder) -> Iterator[None]:
    """In the block, `decoder` attends by `attention`, and takes its `lengths` and `before`."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    usual = decoder.config._attn_implementation
    decoder.config._attn_implementation = NAME
    try:
        yield
    finally:
        decoder.config._attn_implementation = usual


def attention(module, query, key, value, attention_mask, *, lengths: list[int], before: list[int], **kwargs):
    """The model's own plain attention, sequence by sequence; says (1, tokens, heads, width).

    `query` (1, heads, tokens, width) holds sequences of `lengths` tokens. `key` and `value` hold what stands `before` each sequence, so
    many tokens, one after the other, then those of the sequences themselves.
    """
    plain = sys.modules[type(module).__module__].eager_attention_forward
    said, end, own, known = [], 0, sum(before), 0
    for length, earlier in zip(lengths, before, strict=True):
        rows = [query[:, :, end : end + length]]
        for of in (key, value):
            parts = of[:, :, known : known + earlier], of[:, :, own : own + length]
            rows.append(torch.cat(parts, dim=2) if earlier else parts[1])
        said.append(plain(module, *rows, _causal(length, earlier + length, query), **kwargs)[0])
        end, own, known = end + length, own + length, known + earlier
    return torch.cat(said, dim=1), None


def positions(lengths: list[int], before: list[int]) -> list[int]:
    """Where each token stands in its own sequence."""
    return [place for length, earlier in zip(lengths, before, strict=True) for place in range(earlier, earlier + length)]


def _causal(queries: int, keys: int, like: torch.Tensor) -> torch.Tensor:
    """Added to scores: the last query sees every key, the one before it all but the last, and so on."""
    return torch.full((queries, keys), torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device).triu(keys - queries + 1)
