"""Small plots for asset panels: PNG bytes, and PNG bytes as Markdown. Colours are Okabe and Ito's, told apart by the colour-blind."""

import base64
import io
from collections.abc import Mapping, Sequence

from slm_pipeline.records import Json

COLOURS = {"base": "#999999", "adapter": "#0072B2", "champion": "#009E73", "teacher": "#E69F00", "majority": "#CC79A7"}
DPI = 80


def loss_curves_png(curves: Sequence[Json]) -> bytes:
    """Training and validation loss by optimiser step; `curves` is training.json's list of {step, train_loss, val_loss}."""
    figure, axes = _figure(6, 3.2)
    for key, label, style, colour in (("train_loss", "training", "-", "#0072B2"), ("val_loss", "validation", "o--", "#E69F00")):
        points = [point for point in curves if point.get(key) is not None]
        axes.plot([point["step"] for point in points], [point[key] for point in points], style, label=label, color=colour)
    axes.set(xlabel="step", ylabel="loss at answer tokens", ylim=(0, None))
    axes.legend(frameon=False)
    return _png(figure)


def scores_png(report: Json) -> bytes:
    """One group's scores by system, with 95 % intervals."""
    shown = ["call", "tool", "exact", "similarity", "valid", "correct"]
    shown = [score for score in shown if any(system[score]["mean"] is not None for system in report["systems"].values())]
    figure, axes = _figure(7, 3.2)
    _bars(axes, shown, {name: [system[score] for score in shown] for name, system in report["systems"].items()})
    axes.set_xlabel(f"test split, n = {report['n']}")
    return _png(figure)


def groups_png(reports: Mapping[str, Json]) -> bytes:
    """Accuracy of base, adapter and teacher by group, with 95 % intervals; groups side by side."""
    figure, axes = _figure(max(5, 2 + 1.6 * len(reports)), 3.6)
    labels = [f"{group.rsplit('-', 1)[0][:22]}\n({report['gate_metric']}, n = {report['n']})" for group, report in reports.items()]
    missing = {"mean": None, "low": None, "high": None}
    systems = ("base", "adapter", "teacher")
    _bars(axes, labels, {name: [r["systems"].get(name, {}).get("accuracy", missing) for r in reports.values()] for name in systems})
    return _png(figure)


def as_markdown_image(png: bytes, alt: str = "plot") -> str:
    """The image as Markdown that carries its own bytes."""
    return f"![{alt}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _bars(axes, labels: Sequence[str], systems: Mapping[str, Sequence[Json]]) -> None:
    """Grouped bars of intervals, one colour for each system; what was not measured is left blank."""
    width = 0.8 / len(systems)
    for i, (name, intervals) in enumerate(systems.items()):
        there = [(at, interval) for at, interval in enumerate(intervals) if interval["mean"] is not None]
        at = [place - 0.4 + width * (i + 0.5) for place, _ in there]
        axes.bar(at, [interval["mean"] for _, interval in there], width * 0.92, label=name, color=COLOURS[name])
        for place, (_, interval) in zip(at, there, strict=True):
            if interval["low"] is not None:
                axes.plot([place, place], [interval["low"], interval["high"]], color="black", linewidth=1.2)
    axes.set(ylim=(0, 1.05), ylabel="score")
    axes.set_xticks(range(len(labels)), labels, fontsize=9)
    axes.legend(frameon=False, fontsize=8, ncols=len(systems), loc="lower left", bbox_to_anchor=(0, 1))


def _png(figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
