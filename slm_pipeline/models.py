"""`slm models` and `slm device`: the catalogue as judged, one entry with its sources, this machine as measured."""

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import base_files, ensure_base, is_present
from slm_pipeline.s4_select.candidates import candidates
from slm_pipeline.s4_select.catalogue import entry
from slm_pipeline.s4_select.device import device_of
from slm_pipeline.s4_select.lengths import Lengths, group_lengths, longest_lengths
from slm_pipeline.s4_select.measured_device import measure_device, predictions
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
WIDTH = 120  # columns that tables fit


def candidate_rows(settings: Settings, group: str | None = None, device: str | None = None) -> list[Json]:
    """Every candidate as an object, judged for a group's own calls and a device; raises LookupError if there is no such group."""
    return [asdict(c) for c in candidates(settings, lengths_of(settings, group), device_of(settings, device))]


def lengths_of(settings: Settings, group: str | None) -> Lengths:
    """Lengths of a group's calls; without a group the longest that the settings let through."""
    if group is None:
        return longest_lengths(settings)
    lake = Lake(settings.lake)
    written = lake.read(EXAMPLES, group)
    if written is None:
        raise LookupError(f"no group {group!r} with examples; there are {', '.join(lake.partitions(EXAMPLES)) or 'none yet'}")
    return group_lengths(written.table("examples"), settings)


def print_candidates(rows: Sequence[Json], settings: Settings, group: str | None, device: str | None, console: Console) -> None:
    """The list as a table, those that pass first."""
    place, lengths = device_of(settings, device), lengths_of(settings, group)
    table = Table(
        Column("Model", overflow="fold", max_width=29), Column("Kind", no_wrap=True), Column("B", justify="right", no_wrap=True),
        Column("GB", justify="right", no_wrap=True), Column("s p50", justify="right", no_wrap=True),
        Column("s p95", justify="right", no_wrap=True), Column("Passes, or why not", ratio=1, overflow="fold"),
        width=min(WIDTH, console.width),
    )  # fmt: skip
    for row in sorted(rows, key=lambda row: not row["ok"]):
        numbers = [
            _number(row["params"] and row["params"] / 1e9),
            *(_number(row[key]) for key in ("memory_gb", "seconds_p50", "seconds_p95")),
        ]
        verdict = "[green]passes[/]" if row["ok"] else escape(row["reason"])
        table.add_row(row["name"], row["architecture"] or "", *numbers, verdict)
    console.print(table)
    calls = f"{lengths.prompt_p50} + {lengths.answer_p50} (p50) and {lengths.prompt_p95} + {lengths.answer_p95} (p95) tokens"
    of = f"{group}, {lengths.n} calls counted" if group else "the longest that the settings let through"
    console.print(f"Calls: {calls}: {of}.", highlight=False)
    console.print(
        f"Device: {place.name} ({place.what}), {place.memory_gb:g} GB for a model kept as {settings.quantisation}; "
        f"at most {settings.max_latency_seconds:g} s at p95.",
        highlight=False,
    )
    console.print("`slm models NAME` shows one with its sources, `slm models NAME --fetch` brings its weights.", highlight=False)


def entry_rows(name: str, settings: Settings) -> list[Json]:
    """One object for each known field of an entry: field, value, source. Raises LookupError."""
    found = entry(name, settings)
    values = found.model_dump(mode="json", exclude={"source", "sources"}, exclude_defaults=True)
    ours = {"name", "lora_exclude", "refused", "note", "open", "template", "package", "path"}
    rows = [{"field": key, "value": value, "source": None if key in ours else found.source_of(key)} for key, value in values.items()]
    here = base_files(name, settings).folder if is_present(name, settings) else None
    return [*rows, {"field": "weights", "value": str(here) if here else "not on this machine", "source": None}]


def print_entry(rows: Sequence[Json], console: Console) -> None:
    """One entry as a table."""
    table = Table("Field", Column("Value", overflow="fold", ratio=1), Column("Source", overflow="fold", ratio=1))
    table.width = min(WIDTH, console.width)
    for row in rows:
        value = row["value"]
        if isinstance(value, dict):
            value = ", ".join(f"{key} {given}" for key, given in value.items())
        table.add_row(row["field"], escape(", ".join(value) if isinstance(value, list) else str(value)), row["source"] or "")
    console.print(table)


def measured_device(settings: Settings) -> Json:
    """Measure this machine with the first of `settings.base_models`; `device` and, at each judged context, `predictions`."""
    name = settings.base_models[0]
    base, model = ensure_base(name, settings), entry(name, settings).model
    device = measure_device(settings, base, model)
    return {"base": name, "device": device.model_dump(mode="json"), "predictions": predictions(base, model, device) if model else []}


def print_device(measured: Json, console: Console) -> None:
    """What was measured, and how well it predicts."""
    device = measured["device"]
    table = Table("This machine", Column("", justify="right"))
    labels = {
        "memory_gb": "memory free for a model (GB)",
        "bandwidth_gb": "weights read (GB/s)",
        "cache_gb": "keys and values read (GB/s)",
        "matrix_gflops": "products of matrices (GFLOP/s)",
        "attention_gflops": "attention (GFLOP/s)",
        "process_mb": "process without model (MB)",
        "call_ms": "each call besides (ms)",
    }
    for key, label in labels.items():
        table.add_row(label, f"{device[key]:,.1f}")
    console.print(table, f"{device['source']}; kept for settings.device = this", highlight=False)
    heads = ("context", "MB predicted", "MB measured", "error", "s predicted", "s measured", "error")
    judged = Table(*(Column(head, justify="right") for head in heads), title=f"{measured['base']}, contexts that no rate was solved from")
    for row in measured["predictions"]:
        sizes = (f"{row['predicted_bytes'] / 1e6:.0f}", f"{row['measured_bytes'] / 1e6:.0f}", f"{row['memory_error']:+.1%}")
        times = (f"{row['predicted_seconds']:.2f}", f"{row['measured_seconds']:.2f}", f"{row['latency_error']:+.1%}")
        judged.add_row(str(row["context"]), *sizes, *times)
    console.print(judged)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.2f}"
