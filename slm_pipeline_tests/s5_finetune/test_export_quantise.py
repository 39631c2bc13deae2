"""Every tensor gets the type that llama.cpp would give it, and comes back nearly as it was."""

import numpy as np
import pytest
from gguf import GGMLQuantizationType as Type
from gguf import dequantize, quantize
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s5_finetune.export.quantise import quantised, tensor_types


def shapes(layers: int, width: int, **more) -> dict[str, tuple[int, ...]]:
    found = {"token_embd.weight": (1000, width), "output_norm.weight": (width,)}
    for layer in range(layers):
        found |= {f"blk.{layer}.attn_{part}.weight": (width, width) for part in "kqv"}
        found |= {f"blk.{layer}.attn_norm.weight": (width,), f"blk.{layer}.ffn_down.weight": (width, 4 * width)}
    return found | more


def test_four_bits_spend_six_where_llama_cpp_does():
    """The output matrix (here the embedding: they are tied), and values and down projections of the first and last eighth of
    layers and of every third between."""
    types = tensor_types(shapes(24, 256), "q4_k_m", 24)
    assert types["token_embd.weight"] == Type.Q6_K
    more = [0, 1, 2, 5, 8, 11, 14, 17, 20, 21, 22, 23]
    for part in ("attn_v", "ffn_down"):
        assert [layer for layer in range(24) if types[f"blk.{layer}.{part}.weight"] == Type.Q6_K] == more
    assert {types[f"blk.{layer}.attn_q.weight"] for layer in range(24)} == {Type.Q4_K}
    assert types["output_norm.weight"] == Type.F32


def test_an_output_matrix_of_its_own_leaves_the_embedding_four_bits():
    types = tensor_types(shapes(1, 256, **{"output.weight": (1000, 256)}), "q4_k_m", 1)
    assert (types["output.weight"], types["token_embd.weight"]) == (Type.Q6_K, Type.Q4_K)


def test_rows_that_blocks_of_256_do_not_fill_get_smaller_blocks():
    """SmolLM2's 576 are such; rows that no block fills stay in sixteen bits."""
    types = tensor_types(shapes(8, 576), "q4_k_m", 8)
    assert (types["token_embd.weight"], types["blk.0.attn_q.weight"], types["blk.7.attn_v.weight"]) == (Type.Q8_0, Type.Q5_0, Type.Q8_0)
    assert types["blk.1.ffn_down.weight"] == Type.Q4_K, "its rows are 2304 wide"
    assert set(tensor_types({"blk.0.attn_q.weight": (8, 40)}, "q8_0", 1).values()) == {Type.F16}


@pytest.mark.parametrize("name", ["blk.0.ffn_gate_inp.weight", "blk.0.ssm_conv1d.weight", "blk.0.shortconv.conv.weight", "blk.0.ssm_a"])
@pytest.mark.parametrize("quantisation", ["f16", "q8_0", "q4_k_m"])
def test_what_must_not_be_rounded_is_not(name, quantisation):
    assert tensor_types({name: (256, 256)}, quantisation, 1)[name] == Type.F32


@given(st.sampled_from([(Type.Q8_0, 0.005), (Type.Q6_K, 0.02), (Type.Q5_0, 0.05), (Type.Q4_K, 0.1)]), st.integers(1, 3), st.integers(0, 9))
def test_values_come_back_within_the_step_of_their_type(kind, rows, seed):
    """The largest error, against the largest value of a row."""
    kind, step = kind
    values = np.random.default_rng(seed).normal(size=(2, rows, 512)).astype(np.float32)
    back = dequantize(quantised(values, kind), kind)
    assert back.shape == values.shape
    assert np.all(np.abs(back - values).max(-1) <= step * np.abs(values).max(-1))


@pytest.mark.parametrize("kind", [Type.Q8_0, Type.Q5_0])
def test_bytes_are_those_of_the_gguf_library_where_it_can(kind):
    values = np.random.default_rng(1).normal(size=(4, 64)).astype(np.float32)
    assert np.array_equal(quantised(values, kind), quantize(values, kind))
