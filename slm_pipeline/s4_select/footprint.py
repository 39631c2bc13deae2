"""Memory and latency of a model on a device, for one user, from the model's shape and the device's rates.

Roofline arithmetic (Williams, Waterman and Patterson 2009): reading a prompt is bound by multiplications, writing an answer by the
bytes that every token reads. Attention grows with the context; a recurrent state does not.
"""

from dataclasses import dataclass
from typing import Literal

from slm_pipeline.s4_select.device import Device
from slm_pipeline.s4_select.shape import Shape

Quantisation = Literal["f16", "q8_0", "q4_k_m"]

BITS = {"f16": 16.0, "q8_0": 8.5, "q4_k_m": 4.89}
"""Bits per weight with scales, as llama.cpp's quantize tool documents them for Llama 3.1 8B
(https://github.com/ggml-org/llama.cpp/blob/master/tools/quantize/README.md)."""

EMBEDDING_BITS = {"f16": 16.0, "q8_0": 8.5, "q4_k_m": 6.5625}
ODD_BITS = {"f16": (16.0, 16.0), "q8_0": (8.5, 8.5), "q4_k_m": (5.5, 8.5)}
"""Matrices and embedding of models whose width is no multiple of 256: llama.cpp's K-quants fall back on Q5_0 and Q8_0."""

BATCH = 512  # prompt tokens that llama.cpp computes at a time (n_ubatch)
ACTIVATIONS = 16  # numbers of 32 bits that it holds per batch token and unit of width, measured on SmolLM2-135M
CACHE_BYTES = 2  # keys and values are kept in 16 bits


@dataclass(frozen=True)
class Model:
    """What the arithmetic needs of a model. `active`: weights that one token passes through (mixtures of experts: fewer than all)."""

    params: int
    shape: Shape
    active: int

    @property
    def embedding(self) -> int:
        return self.shape.vocab * self.shape.hidden

    @property
    def inner(self) -> int:
        """Active weights but for embedding and output."""
        return self.active - self.embedding * (1 if self.shape.tied else 2)


@dataclass(frozen=True)
class Memory:
    """Bytes. `cache`: keys and values; `state`: recurrent state; `work`: activations and the process itself."""

    weights: float
    cache: float
    state: float
    work: float

    @property
    def total(self) -> float:
        return self.weights + self.cache + self.state + self.work


def weight_bytes(model: Model, quantisation: Quantisation) -> float:
    """Bytes of all weights."""
    inner, embedding = _bits(model, quantisation)
    embeddings = model.embedding * (1 if model.shape.tied else 2)
    return (max(model.params - embeddings, 0) * inner + embeddings * embedding) / 8


def cache_bytes(shape: Shape, context: int) -> float:
    """Bytes of keys and values at a context of so many tokens."""
    return 2 * CACHE_BYTES * shape.kv_heads * shape.head_size * shape.seen(context)


def memory(model: Model, quantisation: Quantisation, context: int, device: Device) -> Memory:
    """What a process needs that has room for `context` tokens."""
    work = device.process_mb * 1e6 + 4 * ACTIVATIONS * model.shape.hidden * min(context, BATCH)
    return Memory(weight_bytes(model, quantisation), cache_bytes(model.shape, context), 4.0 * model.shape.state_numbers, work)


def prefill_flops(model: Model, prompt: int) -> tuple[float, float]:
    """Floating-point operations for reading `prompt` tokens: in matrices (the output only at the last token), in attention and states."""
    shape = model.shape
    matrices = 2.0 * prompt * max(model.inner, 0) + 2.0 * model.embedding
    # every token looks at all before it: half of the square; within a window, at no more than the window
    full, windowed = prompt * prompt / 2, prompt * prompt / 2
    if shape.window and prompt > shape.window:
        windowed = shape.window * shape.window / 2 + (prompt - shape.window) * shape.window
    seen = (shape.attention_layers - shape.windowed_layers) * full + shape.windowed_layers * windowed
    states = 6.0 * prompt * shape.state_layers * shape.state_width * shape.state_size
    return matrices, 4.0 * shape.heads * shape.head_size * seen + states


def prefill_seconds(model: Model, prompt: int, device: Device) -> float:
    """Time until the first token."""
    matrices, attention = prefill_flops(model, prompt)
    return matrices / (device.matrix_gflops * 1e9) + attention / (device.attention_gflops * 1e9) + device.call_ms / 1e3


def token_seconds(model: Model, quantisation: Quantisation, context: int, device: Device) -> float:
    """Time per token of the answer: the active weights, the cache and twice the state (read, written) pass through memory."""
    inner, embedding = _bits(model, quantisation)
    weights = (max(model.inner, 0) * inner + model.embedding * embedding) / 8
    state = 8.0 * model.shape.state_numbers
    return (weights + state) / (device.bandwidth_gb * 1e9) + cache_bytes(model.shape, context) / (device.cache_gb * 1e9)


def latency(model: Model, quantisation: Quantisation, prompt: int, answer: int, device: Device) -> float:
    """Seconds from the call to the last token of its answer, for one user."""
    return prefill_seconds(model, prompt, device) + answer * token_seconds(model, quantisation, prompt + answer // 2, device)


def _bits(model: Model, quantisation: Quantisation) -> tuple[float, float]:
    return ODD_BITS[quantisation] if model.shape.hidden % 256 else (BITS[quantisation], EMBEDDING_BITS[quantisation])
