"""Measures this machine: its memory, its rates with plain arrays, and with llama.cpp if a base is here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles
from slm_pipeline.s4_select.device import THIS, Device, measured_file
from slm_pipeline.s4_select.footprint import Model, cache_bytes, latency, memory, prefill_flops, token_seconds
from slm_pipeline.settings import Settings

CALIBRATION = (192, 768, 1536, 3072)
"""Contexts, in tokens, that the rates are solved from."""

JUDGED = (256, 1024, 2048, 4096)
"""Contexts at which predictions are compared with measurements."""

ANSWER = 32  # tokens whose time is measured
UNITS = {"memory": "bytes", "latency": "seconds"}
COPY_BYTES = 256 << 20
SIDE = 1536  # of the matrices that are multiplied


def measure_device(settings: Settings, base: BaseFiles | None, model: Model | None, repeats: int = 3) -> Device:
    """This machine as a device; kept for `settings.device = "this"`. Without a base, plain arrays stand in for llama.cpp."""
    device = plain_device()
    if base and model:
        device = calibrated(device, model, [run(base, context, repeats) for context in CALIBRATION])
    measured_file(settings).parent.mkdir(parents=True, exist_ok=True)
    measured_file(settings).write_text(device.model_dump_json(indent=2) + "\n")
    return device


def plain_device() -> Device:
    """Memory and rates with NumPy: copying, and products of matrices in 32 bits."""
    import psutil

    bandwidth, flops = copy_rate(), product_rate()
    return Device(
        name=THIS,
        what=f"this machine, {psutil.cpu_count()} cores",
        memory_gb=round(psutil.virtual_memory().available / 1e9, 1),
        bandwidth_gb=round(bandwidth / 1e9, 2),
        cache_gb=round(bandwidth / 4e9, 2),
        matrix_gflops=round(flops / 1e9, 1),
        attention_gflops=round(flops / 2e9, 1),
        date=datetime.now(UTC).date(),
        source="measured with NumPy",
    )


def copy_rate() -> float:
    """Bytes a second that pass through memory while a large array is copied, read and written together (STREAM copy, McCalpin 1995)."""
    import numpy as np

    source = np.ones(COPY_BYTES // 8)
    target = np.empty_like(source)
    return 2 * COPY_BYTES / min(_seconds(lambda: np.copyto(target, source)) for _ in range(5))


def product_rate() -> float:
    """Floating-point operations a second in a product of two square matrices of 32 bits."""
    import numpy as np

    matrix = np.random.default_rng(0).random((SIDE, SIDE), dtype=np.float32)
    return 2 * SIDE**3 / min(_seconds(lambda: matrix @ matrix) for _ in range(5))


@dataclass(frozen=True)
class Run:
    """One context measured: tokens of the prompt, seconds to read it, seconds per token of the answer, bytes of the process."""

    prompt: int
    prefill: float
    token: float
    memory: int


def run(base: BaseFiles, context: int, repeats: int) -> Run:
    """Ask llama.cpp `repeats` different prompts of `context` tokens; medians of their times, memory after the first."""
    import psutil

    from slm_pipeline.resources.engine import Engine

    times, bytes_used = [], 0
    with Engine(base.gguf, None, context + 2 * ANSWER) as engine:
        engine.complete(["warm up"], [None], 1)
        for i in range(repeats):
            prompt = counting(base.folder, context, 1000 + 10_000 * i)
            (read,) = engine.complete([prompt], [None], 1)
            bytes_used = bytes_used or psutil.Process(engine.pid).memory_info().rss
            (written,) = engine.complete([prompt], [None], ANSWER + 1)  # the prompt is cached: only the answer takes time
            times.append((read.latency_ms / 1e3, written.latency_ms / 1e3 / written.tokens))
    return Run(context, median(t[0] for t in times), median(t[1] for t in times), bytes_used)


def counting(folder: Path, tokens: int, start: int) -> str:
    """A text of so many tokens that any model goes on with: numbers, counted up from `start`."""
    from slm_pipeline.prompting import tokenizer

    text = " ".join(str(i) for i in range(start, start + tokens))
    return text[: tokenizer(folder).encode(text, add_special_tokens=False).offsets[tokens - 1][1]]


def calibrated(device: Device, model: Model, runs: Sequence[Run]) -> Device:
    """The device with the rates that explain the runs best: least squares of relative errors, none below zero."""
    import numpy as np
    from scipy.optimize import nnls

    def solve(rows: list[Sequence[float]], seconds: list[float]) -> np.ndarray:
        scale = np.array(seconds)
        return nnls(np.array(rows) / scale[:, None], np.ones(len(seconds)))[0]

    matrices, attention, call = solve([(*prefill_flops(model, r.prompt), 1e9) for r in runs], [r.prefill for r in runs])
    one = Device.model_validate(device.model_dump() | {"bandwidth_gb": 1e-9, "cache_gb": 1e30})
    weights = token_seconds(model, "q8_0", 0, one)
    read, cached = solve([(weights, cache_bytes(model.shape, r.prompt + ANSWER // 2)) for r in runs], [r.token for r in runs])
    bare = device.model_copy(update={"process_mb": 0})
    process = median(r.memory - memory(model, "q8_0", r.prompt + 2 * ANSWER, bare).total for r in runs)

    def rate(seconds: float, otherwise: float) -> float:
        return round(1 / seconds / 1e9, 2) if seconds > 0 else otherwise

    return device.model_copy(
        update={
            "matrix_gflops": rate(matrices, device.matrix_gflops),
            "attention_gflops": rate(attention, device.attention_gflops),
            "bandwidth_gb": rate(read, device.bandwidth_gb),
            "cache_gb": rate(cached, device.cache_gb),
            "process_mb": max(0.0, round(process / 1e6, 1)),
            "call_ms": round(call * 1e9 * 1e3, 2),
            "source": f"measured with llama.cpp at contexts of {', '.join(map(str, (r.prompt for r in runs)))} tokens",
        }
    )


def predictions(base: BaseFiles, model: Model, device: Device, repeats: int = 3) -> list[Json]:
    """Predicted and measured memory (bytes) and latency (seconds, ANSWER tokens) at the contexts of JUDGED, with relative errors."""
    rows = []
    for context in JUDGED:
        measured = run(base, context, repeats)
        seconds = measured.prefill + ANSWER * measured.token
        row = {
            "context": context,
            "predicted_bytes": round(memory(model, "q8_0", context + 2 * ANSWER, device).total),
            "measured_bytes": measured.memory,
            "predicted_seconds": round(latency(model, "q8_0", context, ANSWER, device), 4),
            "measured_seconds": round(seconds, 4),
        }
        errors = {f"{of}_error": round(row[f"predicted_{unit}"] / row[f"measured_{unit}"] - 1, 4) for of, unit in UNITS.items()}
        rows.append(row | errors)
    return rows


def _seconds(what: Callable[[], object]) -> float:
    start = perf_counter()
    what()
    return perf_counter() - start
