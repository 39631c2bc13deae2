"""Memory and time per token against context."""

import io
from collections.abc import Mapping

from slm_pipeline.plots import DPI, PALETTE
from slm_pipeline.s4_select.device import Device
from slm_pipeline.s4_select.footprint import Model, Quantisation, memory, token_seconds

CONTEXTS = tuple(2**i for i in range(8, 16))
STYLES = {"transformer": "-", "hybrid": "--", "state-space": ":"}


def footprint_png(models: Mapping[str, Model], quantisation: Quantisation, device: Device) -> bytes:
    """Two charts: attention grows with the context, a recurrent state does not."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for (name, model), colour in zip(models.items(), PALETTE, strict=False):
        style, label = STYLES[model.shape.architecture], f"{name} ({model.shape.architecture})"
        left.plot(CONTEXTS, [memory(model, quantisation, c, device).total / 1e9 for c in CONTEXTS], style, color=colour, label=label)
        right.plot(CONTEXTS, [1e3 * token_seconds(model, quantisation, c, device) for c in CONTEXTS], style, color=colour)
    for axes, title in ((left, f"memory as {quantisation} (GB)"), (right, f"time per answer token on {device.name} (ms)")):
        axes.set_xscale("log", base=2)
        axes.set_xticks(CONTEXTS, [f"{context // 1024}k" if context >= 1024 else str(context) for context in CONTEXTS])
        axes.set(xlabel="context (tokens)", title=title, ylim=(0, None))
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()
