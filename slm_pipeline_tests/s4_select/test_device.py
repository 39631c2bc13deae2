"""Devices are data; this machine's rates are solved from what it was seen to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slm_pipeline.s4_select.catalogue import load_catalogue
from slm_pipeline.s4_select.device import DeviceError, device_of, load_devices, measured_file
from slm_pipeline.s4_select.footprint import memory, prefill_seconds, token_seconds
from slm_pipeline.s4_select.measured_device import ANSWER, CALIBRATION, JUDGED, Run, calibrated, counting, measure_device, predictions
from slm_pipeline.settings import Settings
from slm_pipeline_tests.tiny import make_tiny_base

SMOL = next(e.model for e in load_catalogue() if e.name == "SmolLM2-135M-Instruct")
LAPTOP = device_of(Settings(), "laptop")


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def test_phone_laptop_and_gpu_are_there_with_dated_sources(settings):
    devices = {device.name: device for device in load_devices(settings)}
    assert set(devices) == {"phone", "laptop", "gpu"}
    assert all(device.source.startswith("https://") for device in devices.values())
    assert devices["phone"].bandwidth_gb < devices["laptop"].bandwidth_gb < devices["gpu"].bandwidth_gb


def test_an_unknown_device_is_answered_with_the_known_ones(settings):
    with pytest.raises(DeviceError, match=r"no device 'fridge'; there are phone, laptop, gpu"):
        device_of(settings, "fridge")
    with pytest.raises(DeviceError, match=r"`slm device` measures this machine"):
        device_of(settings, "this")


def test_settings_replace_single_numbers(tmp_path):
    changed = device_of(Settings(home=tmp_path, device="phone", device_memory_gb=3, device_gflops=100))
    assert (changed.memory_gb, changed.matrix_gflops, changed.name) == (3, 100, "phone, changed by settings")
    assert changed.bandwidth_gb == device_of(Settings(), "phone").bandwidth_gb


def test_ones_own_file_adds_devices_and_a_bad_one_is_named(settings):
    settings.models.mkdir(parents=True)
    file = settings.models / "devices.yaml"
    numbers = "memory_gb: 2, bandwidth_gb: 5, cache_gb: 1, matrix_gflops: 50, attention_gflops: 20"
    file.write_text(f"[{{name: kiosk, {numbers}, date: 2026-11-24, source: measured}}]")
    assert device_of(settings, "kiosk").memory_gb == 2
    file.write_text("[{name: kiosk}]")
    with pytest.raises(DeviceError, match=r"devices\.yaml: (?s:.*)memory_gb"):
        load_devices(settings)


rates = st.floats(0.5, 2)


@given(rates, rates, rates, rates, st.integers(0, 500))
def test_calibration_finds_the_rates_that_made_the_measurements(matrices, attention, weights, cache, process):
    names = ("matrix_gflops", "attention_gflops", "bandwidth_gb", "cache_gb")
    scaled = {name: getattr(LAPTOP, name) * by for name, by in zip(names, (matrices, attention, weights, cache), strict=True)}
    true = LAPTOP.model_copy(update=scaled | {"process_mb": process, "call_ms": 3})
    runs = [
        Run(
            context,
            prefill_seconds(SMOL, context, true),
            token_seconds(SMOL, "q8_0", context + ANSWER // 2, true),
            round(memory(SMOL, "q8_0", context + 2 * ANSWER, true).total),
        )
        for context in CALIBRATION
    ]
    found = calibrated(LAPTOP, SMOL, runs)
    for name, value in (scaled | {"process_mb": process, "call_ms": 3}).items():
        assert getattr(found, name) == pytest.approx(value, rel=0.01, abs=0.1)


def test_no_context_is_both_calibrated_and_judged():
    assert not set(CALIBRATION) & set(JUDGED)


def test_this_machine_is_measured_kept_and_predicts(settings, monkeypatch):
    from slm_pipeline.s4_select import measured_device
    from slm_pipeline.s4_select.base_models import base_files
    from slm_pipeline.s4_select.footprint import Model
    from slm_pipeline.s4_select.shape import facts_of

    folder = make_tiny_base(settings.home)
    facts = facts_of(folder)
    monkeypatch.setattr(measured_device, "CALIBRATION", (20, 40, 60, 80))
    monkeypatch.setattr(measured_device, "JUDGED", (30, 50))
    base, model = base_files(folder.name, settings), Model(facts.params, facts.shape, facts.params)
    device = measure_device(settings, base, model, repeats=1)
    assert measured_file(settings).exists()
    assert device_of(settings, "this") == device
    assert "20, 40, 60, 80" in device.source
    rows = predictions(base, model, device, repeats=1)
    assert [row["context"] for row in rows] == [30, 50]
    assert all(row["measured_bytes"] > 1e6 and row["measured_seconds"] > 0 for row in rows)
    assert all(row["memory_error"] == pytest.approx(row["predicted_bytes"] / row["measured_bytes"] - 1, abs=1e-4) for row in rows)


def test_a_counted_prompt_has_exactly_so_many_tokens(settings):
    from slm_pipeline.prompting import token_ids

    folder = make_tiny_base(settings.home)
    assert len(token_ids(counting(folder, 50, 1000), folder)) == 50
    assert counting(folder, 50, 1000) != counting(folder, 50, 11_000)
