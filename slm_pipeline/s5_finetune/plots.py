"""The learning curve: loss and score against training examples, with the fitted laws."""

import io

import numpy as np

from slm_pipeline.plots import DPI
from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.power_law import PowerLaw

MEASURED, FITTED, NEEDED = "#0072B2", "#E69F00", "#D55E00"
AHEAD = 4  # times today's examples that the fitted law is drawn for


def learning_curve_png(curve: Json) -> bytes:
    """Two charts over the number of examples: validation loss, and score with 95 % intervals and what the gate needs."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    points = curve["points"]
    sizes = [point["examples"] for point in points]
    along = np.geomspace(min(sizes), AHEAD * max(sizes), 80)
    loss, error = PowerLaw(**curve["loss"]), PowerLaw(**curve["error"])
    left.plot(along, [loss.at(n) for n in along], color=FITTED, label="fit")
    left.plot(sizes, [point["loss"] for point in points], "o", color=MEASURED, label="measured")
    right.plot(along, [1 - error.at(n) for n in along], color=FITTED)
    right.plot(sizes, [point["score"]["mean"] for point in points], "o", color=MEASURED)
    for point in points:
        if point["score"]["low"] is not None:
            right.plot([point["examples"]] * 2, [point["score"]["low"], point["score"]["high"]], color=MEASURED, linewidth=1.2)
    if curve["need"] is not None:
        right.axhline(curve["need"], linestyle="--", color=NEEDED, label="what the gate needs")
        right.legend(frameon=False, fontsize=8)
    left.legend(frameon=False, fontsize=8)
    left.set(title="loss at answer tokens (nats)", ylim=(0, None))
    right.set(title=f"score, {points[-1]['score']['n']} validation calls", ylim=(0, 1.05))
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set(xlabel="training examples")
        axes.set_xticks([*sizes, AHEAD * max(sizes)])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
