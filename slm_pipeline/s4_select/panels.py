"""What the panels of `candidate_models` and `selected_base` show."""

import dataclasses
from collections.abc import Sequence

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image
from slm_pipeline.records import Json
from slm_pipeline.s4_select.candidates import Candidate
from slm_pipeline.s4_select.catalogue import load_catalogue
from slm_pipeline.s4_select.device import device_of
from slm_pipeline.s4_select.halving import RULE
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


def selection_metadata(selection: Json) -> dict:
    """The choice with its reason, the untuned bases as ranked, and the short fine-tunes rung by rung, if there were any."""
    metadata = {
        "base": selection["base"],
        "prompt_form": selection["prompt_form"],
        "why": selection["why"],
        "ranking": dg.MetadataValue.md(_ranking_table(selection["ranked"])),
    }
    if selection["trials"]:
        metadata |= {"trials": dg.MetadataValue.md(_trials_table(selection["trials"])), "rule": RULE}
    return metadata


def _ranking_table(ranked: Sequence[Json]) -> str:
    def row(place: int, p: Json) -> dict:
        return {
            "place": place,
            "base": p["name"],
            "prompt": p["form"],
            "examples shown": p["shots"],
            "whole call": _share({"mean": p["accuracy"], "low": p["low"], "high": p["high"]}),
            "n": p["n"],
            "similarity": f"{p['similarity']:.2f}",
            "prompt tokens": f"{p['prompt_tokens']:.0f}",
        }

    return pd.DataFrame([row(i, p) for i, p in enumerate(ranked, 1)]).to_markdown(index=False, disable_numparse=True)


def _trials_table(trials: Sequence[Json]) -> str:
    def row(t: Json) -> dict:
        finalist = "score" in t
        return {
            "rung": t["rung"],
            "base": t["name"],
            "examples": t["examples"],
            "nats per answer byte": f"{t['nats_per_byte']:.3f}",
            "validation score": _share(t["score"]) if finalist else "",
            "minus the best": _share(t["behind"]) if finalist else "",
            "passes": ("yes" if t["passes"] else "no") if finalist else "",
            "s (p95)": "?" if t["seconds_p95"] is None else f"{t['seconds_p95']:.2f}",
            "GB": "?" if t["memory_gb"] is None else f"{t['memory_gb']:.2f}",
        }

    return pd.DataFrame([row(t) for t in trials]).to_markdown(index=False, disable_numparse=True)


def _share(interval: Json) -> str:
    bounds = "" if interval["low"] is None else f" [{interval['low']:.1%}, {interval['high']:.1%}]"
    return f"{interval['mean']:.1%}{bounds}"
