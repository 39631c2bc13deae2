"""What the panel of `candidate_models` shows."""

import dataclasses
from collections.abc import Sequence

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image
from slm_pipeline.s4_select.candidates import Candidate
from slm_pipeline.s4_select.catalogue import load_catalogue
from slm_pipeline.s4_select.device import device_of
from slm_pipeline.s4_select.lengths import longest_lengths
from slm_pipeline.s4_select.plots import footprint_png
from slm_pipeline.settings import Settings


def candidate_metadata(judged: Sequence[Candidate], settings: Settings) -> dict:
    """Table of all candidates, plot of memory and time per token against context, and the thresholds."""
    device, lengths = device_of(settings), longest_lengths(settings)
    shown = {e.name: e.model for e in load_catalogue(settings) if e.name in SHOWN and e.model}
    plot = footprint_png(shown, settings.quantisation, device)
    return {
        "candidates": dg.MetadataValue.md(candidate_table(judged)),
        "context": dg.MetadataValue.md(as_markdown_image(plot, "memory and time per token against context")),
        "passed": sum(c.ok for c in judged),
        "refused": sum(not c.ok for c in judged),
        "device": f"{device.name}: {device.what} [{device.source}, {device.date}]",
        "quantisation": settings.quantisation,
        "tokens": f"{lengths.prompt_p95} of prompt, {lengths.answer_p95} of answer; untuned with examples {settings.base_prompt_tokens}",
        "threshold: memory (GB)": device.memory_gb,
        "threshold: seconds at p95": settings.max_latency_seconds,
        "max_base_params": settings.max_base_params,
    }


SHOWN = ("SmolLM2-360M-Instruct", "Qwen3-0.6B", "LFM2-350M", "Granite-4.0-H-350M", "Mamba2-130M")
"""A transformer without and with many cached heads, two hybrids and a state-space model of about one size."""


def candidate_table(judged: Sequence[Candidate]) -> str:
    """The candidates as a Markdown table, those that passed first."""
    rows = pd.DataFrame([dataclasses.asdict(c) for c in judged]).sort_values("ok", ascending=False, kind="stable")
    rows["params"] = [f"{p / 1e9:.2f} B" if pd.notna(p) else "" for p in rows["params"]]
    rows["context"] = [f"{c:.0f}" if pd.notna(c) else "?" for c in rows["context"]]
    for column in ("memory_gb", "seconds_p50", "seconds_p95"):
        rows[column] = [f"{value:.2f}" if pd.notna(value) else "?" for value in rows[column]]
    rows["ok"] = rows["ok"].map({True: "yes", False: "no"})
    rows = rows.rename(columns={"memory_gb": "GB", "seconds_p50": "s (p50)", "seconds_p95": "s (p95)"})
    columns = ["name", "ok", "reason", "params", "architecture", "context", "GB", "s (p50)", "s (p95)", "licence", "hub_id"]
    return rows[columns].fillna("").to_markdown(index=False, disable_numparse=True)
