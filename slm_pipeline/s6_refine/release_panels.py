"""What the panels of router and release show. No prompt is quoted: an erasure leaves panels as they are."""

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image, risk_png
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.release import promises


def router_metadata(rows: pd.DataFrame, facts: Json, alpha: float) -> dict[str, object]:
    """`rows`: outcomes with scores; `facts`: router.json."""
    metadata: dict[str, object] = {
        "adapter": f"v{facts['version']} on {facts['base']}",
        "calls": {split: int(n) for split, n in rows["split"].value_counts().items()},
        "judged by": {by: int(n) for by, n in rows["judged_by"].value_counts().items()},
        "SLM right": float(rows["slm"].mean()),
        "LLM right": float(rows["llm"].mean()),
        "samples per call": float(rows["samples"].mean()),
        "asked from a probability of": facts["worth"],
        "tasks whose checker is gold": len(facts["gold"]),
    }
    plot = risk_png(rows[rows["split"] == "validation"], alpha)
    return metadata | {"risk": dg.MetadataValue.md(as_markdown_image(plot, "risk by share served, validation split"))}


def promises_table(release: Json) -> str:
    """A row for every promise, as Markdown."""
    lines = ["| group | of | promise | about | sessions |", "|---|---|---|---|---:|"]
    for group, of, told, label, sessions in promises(release):
        lines.append(f"| {group} | {of} | {told} | {label} | {'–' if sessions is None else f'{sessions:,}'} |")
    return "\n".join(lines)
