"""Memory and latency follow from the shape: attention grows with the context, a recurrent state does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s4_select.catalogue import load_catalogue
from slm_pipeline.s4_select.device import device_of
from slm_pipeline.s4_select.footprint import (
    BITS,
    cache_bytes,
    latency,
    memory,
    prefill_flops,
    prefill_seconds,
    token_seconds,
    weight_bytes,
)
from slm_pipeline.s4_select.plots import footprint_png
from slm_pipeline.settings import Settings

DEVICE = device_of(Settings(), "laptop")
MODELS = {e.name: e.model for e in load_catalogue() if e.model}
SMOL, MAMBA, GEMMA = MODELS["SmolLM2-135M-Instruct"], MODELS["Mamba2-130M"], MODELS["Gemma-3-270M"]

models = st.sampled_from(sorted(MODELS)).map(MODELS.get)
contexts = st.integers(1, 100_000)
quantisations = st.sampled_from(sorted(BITS))


@given(models, quantisations, contexts, contexts)
def test_memory_and_time_never_fall_as_the_context_grows(model, quantisation, some, more):
    less, most = sorted((some, more))
    for of in (lambda c: memory(model, quantisation, c, DEVICE).total, lambda c: token_seconds(model, quantisation, c, DEVICE)):
        assert of(less) <= of(most)
    assert prefill_seconds(model, less, DEVICE) <= prefill_seconds(model, most, DEVICE)
    assert latency(model, quantisation, less, 10, DEVICE) <= latency(model, quantisation, most, 10, DEVICE)


@given(models, quantisations, contexts)
def test_the_parts_add_up(model, quantisation, context):
    parts = memory(model, quantisation, context, DEVICE)
    assert parts.total == parts.weights + parts.cache + parts.state + parts.work
    assert all(part >= 0 for part in (parts.weights, parts.cache, parts.state, parts.work))


@given(contexts)
def test_a_transformers_cache_grows_by_the_same_with_every_token(context):
    assert cache_bytes(SMOL.shape, context) == 23_040 * context  # two tensors of 16 bits, 30 layers, 3 heads of 64


@given(contexts)
def test_a_state_space_model_keeps_its_state_whatever_the_context(context):
    parts = memory(MAMBA, "q8_0", context, DEVICE)
    assert (parts.cache, parts.state) == (0, 24 * 4 * (1536 * 128 + 3 * (1536 + 2 * 128)))
    assert token_seconds(MAMBA, "q8_0", context, DEVICE) == token_seconds(MAMBA, "q8_0", 1, DEVICE)


@given(st.integers(513, 30_000))
def test_layers_with_a_window_stop_growing(context):
    assert cache_bytes(GEMMA.shape, context + 1) - cache_bytes(GEMMA.shape, context) == 3 * 2 * 2 * 256  # three layers see everything


@given(st.integers(1, 2000), st.integers(1, 2000))
def test_reading_two_halves_takes_less_attention_than_reading_the_whole(some, more):
    whole, halves = prefill_flops(SMOL, some + more), [prefill_flops(SMOL, n) for n in (some, more)]
    assert whole[1] > sum(h[1] for h in halves)
    assert prefill_flops(SMOL, 4 * some)[1] == pytest.approx(16 * prefill_flops(SMOL, some)[1])


@given(models)
def test_fewer_bits_take_less_memory_and_time(model):
    sizes = [weight_bytes(model, q) for q in ("f16", "q8_0", "q4_k_m")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == pytest.approx(2 * model.params)
    times = [token_seconds(model, q, 100, DEVICE) for q in ("f16", "q8_0", "q4_k_m")]
    assert times == sorted(times, reverse=True)


FILES = [("LFM2-350M", "f16", 711e6), ("LFM2-350M", "q8_0", 379e6), ("LFM2-350M", "q4_k_m", 229e6), ("Gemma-3-270M", "q4_k_m", 253113024)]


@pytest.mark.parametrize(("name", "quantisation", "size"), FILES)
def test_weights_take_what_published_files_take(name, quantisation, size):
    assert weight_bytes(MODELS[name], quantisation) == pytest.approx(size, rel=0.1)


def test_the_laptop_predicts_the_run_that_its_rates_are_from():
    # Llama 3.1 8B, Q4_K_M: 224.81 tokens/s over a prompt of 512, 20.87 over an answer of 128
    model = MODELS["Llama-xLAM-2-8b-fc-r"]
    assert 512 / prefill_seconds(model, 512, DEVICE) == pytest.approx(224.81, rel=0.1)
    assert 1 / token_seconds(model, "q4_k_m", 64, DEVICE) == pytest.approx(20.87, rel=0.1)


def test_the_plot_is_the_same_bytes_each_time():
    shown = {"transformer": SMOL, "state-space": MAMBA, "hybrid": MODELS["LFM2-350M"]}
    first = footprint_png(shown, "q8_0", DEVICE)
    assert first.startswith(b"\x89PNG")
    assert footprint_png(shown, "q8_0", DEVICE) == first
