"""`slm bench loop`: the whole loop from an empty lake, on the sample or on given traffic, and what came of it."""

from pathlib import Path
from time import monotonic

from slm_pipeline.bench import rounds
from slm_pipeline.bench._home import temporary_home
from slm_pipeline.bench._step_lines import step_line_figures
from slm_pipeline.bench._traffic import files_of
from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.settings import Settings
from slm_pipeline.terminal import terminal


def measure(settings: Settings, data: Path | None) -> Json:
    """Run S1 to S6 in a temporary home that shares only the base models, then a round of learning in another one (`rounds.measure`: what
    SLMs serve of later traffic, before and after), and return DESIGN's keys of `loop`.

    `data` is a file or a folder of `*.jsonl*` files. Figures are pooled over the test splits of all groups whose answers are
    calls; for traffic of arithmetic step lines the shares of valid lines stand beside them.
    """
    with temporary_home(settings) as fresh:
        tested = _measure(fresh, data)
    return rounds.measure(settings, data) | tested


def _measure(settings: Settings, data: Path | None) -> Json:
    from slm_pipeline.imports import import_file
    from slm_pipeline.run import run_loop
    from slm_pipeline.s1_collect.sample import sample_traffic
    from slm_pipeline.s4_select.base_models import ensure_base

    progress = terminal(stderr=True)
    for name in settings.base_models:
        ensure_base(name, settings)
    files = [sample_traffic(settings)] if data is None else files_of(data)
    for file in files:
        import_file(file, settings, progress)
    began = monotonic()
    run_loop(settings, progress)
    seconds = monotonic() - began
    lake = Lake(settings.lake)
    return _figures(lake) | step_line_figures(lake, settings) | {"seconds": round(seconds, 1), "seed": settings.seed}


def _figures(lake: Lake) -> Json:
    board = lake.read("s6_refine/scoreboard").json("scoreboard")
    pooled = board["pooled"].get("call") or board["pooled"].get("checked") or board["pooled"].get("similarity")

    def mean(name: str) -> float | None:
        return (pooled.get(name) or {}).get("mean")

    gain = pooled["gain"]
    return {
        "groups": len(board["groups"]),
        "n": gain["n"],
        "base_accuracy": mean("base"),
        "adapter_accuracy": mean("adapter"),
        "gain": gain["mean"],
        "gain_low": gain["low"],
        "gain_high": gain["high"],
        "tool_accuracy": mean("tool"),
        "tool_majority": mean("majority"),
        "tool_gain_low": (pooled.get("tool_gain") or {}).get("low"),
        "champions": board["champions"],
    }
