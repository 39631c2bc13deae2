"""Which GGUF type each tensor of a model gets, by llama.cpp's rules (src/llama-quant.cpp), and the quantisation itself."""

import ctypes
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

Quantisation = Literal["f16", "q8_0", "q4_k_m"]

FULL_PRECISION = ("_norm.weight", "ffn_gate_inp.weight", "ssm_conv1d.weight", "shortconv.conv.weight")
"""Matrices that llama.cpp does not quantise: small, and much depends on them."""
FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
"""What a type with blocks of 256 becomes where these do not fill a row: one with blocks of 32."""


def tensor_types(
    shapes: Mapping[str, tuple[int, ...]], quantisation: Quantisation, layers: int, experts: int = 0
) -> dict[str, "GGMLQuantizationType"]:
    """The type of each tensor by llama.cpp's name; `shapes` are (..., outputs, inputs), in the order of layers."""
    from gguf import GGMLQuantizationType

    wanted = {"f16": lambda name: "F16", "q8_0": lambda name: "Q8_0", "q4_k_m": _four_bits(shapes, layers, experts)}[quantisation]
    types = {}
    for name, shape in shapes.items():
        matrix = len(shape) > 1 and name.endswith(".weight") and not name.endswith(FULL_PRECISION)
        types[name] = GGMLQuantizationType[_that_fits(wanted(name), shape[-1]) if matrix else "F32"]
    return types


def quantised(values: np.ndarray, kind: "GGMLQuantizationType") -> np.ndarray:
    """fp32 `values` (..., inputs) as that type: numbers for F16 and F32, else the bytes of its blocks (..., bytes)."""
    from gguf import GGML_QUANT_SIZES

    if kind.name in ("F16", "F32"):
        return values.astype(np.float16 if kind.name == "F16" else np.float32)
    block, size = GGML_QUANT_SIZES[kind]
    values, width = np.ascontiguousarray(values, dtype=np.float32), values.shape[-1]
    blocks = np.empty((*values.shape[:-1], width // block * size), np.uint8)
    _ggml_quantize_chunk()(kind.value, values.ctypes.data, blocks.ctypes.data, 0, values.size // width, width, None)
    return blocks


@cache
def _ggml_quantize_chunk():
    """llama.cpp's own quantiser (ggml.h), out of the library that serves; the gguf package has none for blocks of 256."""
    import xllamacpp

    library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))))
    function = library.ggml_quantize_chunk
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    function.restype, function.argtypes = ctypes.c_size_t, [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    return function


def _four_bits(shapes: Mapping[str, tuple[int, ...]], layers: int, experts: int):
    """q4_k_m: six bits for the output matrix, and for values and down projections where four harm most."""
    values = [name for name in shapes if re.search(r"attn_(v|qkv)\.weight$", name)]
    output = "output.weight" if "output.weight" in shapes else "token_embd.weight"

    def wanted(name: str) -> str:
        if name == output:
            return "Q6_K"
        if experts == 8 and name.endswith(("attn_v.weight", "attn_k.weight")):
            return "Q8_0"
        if name in values:
            return "Q6_K" if _harmed(values.index(name), len(values)) else "Q4_K"
        return "Q6_K" if "ffn_down" in name and _harmed(int(name.split(".")[1]), layers) else "Q4_K"

    return wanted


def _harmed(i: int, n: int) -> bool:
    """The first and last eighth of layers, and every third between."""
    return i < n // 8 or i >= 7 * n // 8 or (i - n // 8) % 3 == 2


def _that_fits(kind: str, width: int) -> str:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    options = (kind, FALLBACK.get(kind, "F16"), "F16")
    return next(option for option in options if width % GGML_QUANT_SIZES[GGMLQuantizationType[option]][0] == 0)
