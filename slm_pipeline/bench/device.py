"""`slm bench device`: predicted memory and latency of a base against measured ones, at contexts that no rate was solved from."""

from pathlib import Path

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings


def measure(settings: Settings, data: Path | None) -> Json:
    """Calibrates this machine on the contexts of CALIBRATION, then judges at those of JUDGED with the first of `settings.base_models`.

    Errors are relative: predicted / measured - 1. `data` is not used: prompts are counted numbers. `n`: contexts judged.
    """
    from slm_pipeline.models import measured_device

    measured = measured_device(settings)
    rows = measured["predictions"]
    return {
        "n": len(rows),
        "seed": settings.seed,
        "base": measured["base"],
        "worst_memory_error": max(abs(row["memory_error"]) for row in rows),
        "worst_latency_error": max(abs(row["latency_error"]) for row in rows),
        "contexts": {str(row["context"]): row for row in rows},
        "device": {key: value for key, value in measured["device"].items() if isinstance(value, int | float)},
    }
