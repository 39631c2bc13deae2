"""Small plots for asset panels: PNG bytes, and PNG bytes as Markdown. Colours are Okabe and Ito's, told apart by the colour-blind."""

import base64
import io
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from slm_pipeline.records import Json

COLOURS = {"base": "#999999", "adapter": "#0072B2", "champion": "#009E73", "teacher": "#E69F00", "majority": "#CC79A7"}
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000", "#B8A800")
MARKERS = "osD^v"
FAINT = "#BBBBBB"
LABELS = 24  # on the map
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
    shown = ["call", "checked", "tool", "exact", "similarity", "valid", "correct"]
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


def risk_png(rows: pd.DataFrame, alpha: float) -> bytes:
    """How often the SLM is wrong where the LLM is right, among the share of calls that it serves, surest answers first; alpha as a line.
    `rows`: score, slm, llm."""
    ordered = rows.sort_values("score", ascending=False, kind="stable")
    lost = ((1 - ordered["slm"]) * ordered["llm"]).cumsum().to_numpy()
    served = range(1, len(ordered) + 1)
    figure, axes = _figure(5, 3)
    axes.plot([n / len(ordered) for n in served], [loss / n for loss, n in zip(lost, served, strict=True)], color=PALETTE[0])
    axes.axhline(alpha, linestyle="--", color=PALETTE[3], label=f"alpha {alpha:.0%}")
    axes.set(xlabel=f"share served, n = {len(ordered)}", ylabel="wrong where the LLM is right", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False)
    return _png(figure)


def rounds_png(rounds: Sequence[Json]) -> bytes:
    """By release, in the order in which they came: the share of calls that SLMs served, and of these audited wrong, with 95 % intervals."""
    figure, axes = _figure(max(4.5, 2 + 0.9 * len(rounds)), 3.2)
    for key, label, colour, marker, aside in (
        ("share", "served by SLMs", PALETTE[0], "o", -0.06),
        ("wrong", "of these wrong, by audits", PALETTE[3], "s", 0.06),
    ):
        shown = [(at, of[key]) for at, of in enumerate(rounds) if key == "share" or of["audits"]]
        axes.plot([at + aside for at, _ in shown], [found["mean"] for _, found in shown], f"{marker}-", color=colour, label=label)
        for at, found in shown:
            if found["low"] is not None:
                axes.plot([at + aside] * 2, [found["low"], found["high"]], color=colour, linewidth=1.2)
    axes.set_xticks(range(len(rounds)), [f"{of['release'][:8]}\n{of['calls']:,} calls" for of in rounds], fontsize=8)
    axes.set(ylim=(0, 1.02), xlim=(-0.5, len(rounds) - 0.5), ylabel="share")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    return _png(figure)


def map_png(points: pd.DataFrame, names: Mapping[str, str]) -> bytes:
    """The map of tasks. `points`: x, y, task (None: unassigned); `names`: by task key, largest first; as many as fit are labelled."""
    figure, axes = _figure(9, 6.5)
    figure.set_layout_engine("none")  # which would move the points under the labels that were placed
    axes.set_position((0.01, 0.05, 0.98, 0.94))
    axes.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.spines[:].set_visible(False)
    styles = dict(zip(names, [(c, m) for m, c in product(MARKERS, PALETTE)], strict=False))
    for task, found in points.groupby(points["task"].fillna(""), sort=False):
        colour, marker = styles.get(task, (FAINT, "." if task else "x"))
        axes.scatter(found["x"], found["y"], s=20, c=colour, marker=marker, alpha=0.7, linewidths=0.8 if marker == "x" else 0)
    middles = points.groupby("task")[["x", "y"]].median()
    shown = [(names[task], *middles.loc[task], styles.get(task, ("#777777",))[0]) for task in names if task in middles.index]
    _place_labels(figure, axes, shown[:LABELS], points)
    notes = [f"the largest {LABELS} of {len(shown)} tasks are named"] if len(shown) > LABELS else []
    notes += ["× no task: stays with the LLM"] if points["task"].isna().any() else []
    axes.set_xlabel("     ".join(notes), fontsize=9, color="#555555")
    return _png(figure)


def shares_png(shares: pd.DataFrame, names: Mapping[str, str], most: int = 12) -> bytes:
    """Share of calls, tokens and cost of the largest tasks. `shares`: index task, columns calls_share, tokens_share, cost_share."""
    columns = [c for c in ("calls_share", "tokens_share", "cost_share") if shares[c].notna().any()]
    shown = shares.sort_values(["calls_share"], ascending=False, kind="stable").head(most)[::-1]
    figure, axes = _figure(8, 1.2 + (0.16 + 0.12 * len(columns)) * len(shown))
    height = 0.8 / len(columns)
    for i, (column, colour) in enumerate(zip(columns, ("#0072B2", "#E69F00", "#009E73"), strict=False)):
        at = [place + 0.4 - height * (i + 0.5) for place in range(len(shown))]
        axes.barh(at, 100 * shown[column].fillna(0), height * 0.92, color=colour, label=column.removesuffix("_share"))
    axes.set_yticks(
        range(len(shown)), [_short(names.get(task, "no task") if pd.notna(task) else "no task", 42) for task in shown.index], fontsize=9
    )
    axes.set(xlabel="share, %", xlim=(0, None), ylim=(-0.6, len(shown) - 0.4))
    axes.legend(frameon=False, fontsize=9, ncols=len(columns), loc="lower left", bbox_to_anchor=(0, 1))
    return _png(figure)


def growth_png(daily: pd.DataFrame, names: Mapping[str, str]) -> bytes:
    """Calls a day of the largest tasks, stacked; `daily`: rows days, columns tasks and "unassigned", newest day last."""
    sizes = daily.drop(columns="unassigned", errors="ignore").sum().sort_values(ascending=False, kind="stable")
    largest = list(sizes.index[: len(PALETTE) - 1])
    layers = [(_short(names.get(task, task), 42), daily[task], colour) for task, colour in zip(largest, PALETTE, strict=False)]
    if len(sizes) > len(largest):
        layers.append((f"{len(sizes) - len(largest)} other tasks", daily[list(sizes.index[len(largest) :])].sum(axis=1), "#888888"))
    if "unassigned" in daily:
        layers.append(("no task", daily["unassigned"], "#DDDDDD"))
    figure, axes = _figure(9, 3.8)
    below = pd.Series(0, index=daily.index)
    for label, calls, colour in layers:
        axes.bar(range(len(daily)), calls, 0.9, bottom=below, color=colour, label=label)
        below = below + calls
    step = max(1, -(-len(daily) // 8))
    axes.set_xticks(range(0, len(daily), step), daily.index[::step], fontsize=8)
    axes.set(ylabel="calls a day", xlim=(-0.6, len(daily) - 0.4))
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
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


def _place_labels(figure, axes, labels: Sequence[tuple[str, float, float, str]], points: pd.DataFrame) -> None:
    """Write labels (text, x, y, colour) near their place where they cover least, largest first; one that finds no place is left out."""
    import numpy as np
    from matplotlib.patheffects import withStroke
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    inside, taken = axes.get_window_extent(), []
    dots = axes.transData.transform(points[["x", "y"]].to_numpy())
    offsets = [(across, up) for across in range(-150, 151, 15) for up in range(-90, 91, 9)]
    for text, x, y, colour in labels:
        label = axes.annotate(
            _short(text, 34), (x, y), (0, 0), textcoords="offset pixels", ha="center", va="center", fontsize=8, color=colour
        )
        label.set(fontweight="bold", path_effects=[withStroke(linewidth=3, foreground="white")])
        size = label.get_window_extent()
        best = None
        for across, up in offsets:
            box = Bbox.from_bounds(size.x0 + across - 3, size.y0 + up - 2, size.width + 6, size.height + 4)
            if not (inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1) or box.count_overlaps(
                taken
            ):
                continue
            covered = int(((dots >= box.min) & (dots <= box.max)).all(axis=1).sum())
            cost = (np.hypot(across / 2, up) + 6 * covered, up, across)
            best = min(best or (cost, box), (cost, box), key=lambda found: found[0])
        if best is None:
            label.remove()
            continue
        (_, up, across), box = best
        label.set_position((across, up))
        taken.append(box)
        if np.hypot(across / 2, up) > 30:
            start = axes.transData.inverted().transform((size.x0 + size.width / 2 + across, size.y0 + size.height / 2 + up))
            axes.plot([x, start[0]], [y, start[1]], color=colour, linewidth=0.6, alpha=0.6, zorder=0)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


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
