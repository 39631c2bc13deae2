"""What the panels of router and release show. No prompt is quoted: an erasure leaves panels as they are."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from slm_pipeline.plots import as_markdown_image, risk_png
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.certification import WHOLE
from slm_pipeline.s6_refine.replaceability import PAPER


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


def replaceability_markdown(found: Json, names: Mapping[str, str]) -> str:
    """The share of traffic that SLMs can take, and the tasks it is made of; `names` by task."""
    lines = [f"**{share_line(found['calls'])} of all calls** can be taken by SLMs"]
    lines[0] += f", **{share_line(found['tokens'])} of all tokens**" if found["tokens"] else ""
    lines[0] += f", if at most {found['margin']:.0%} of what they take may be wrong where the LLM is right."
    estimates = ", ".join(f"{agent} {share:.0%}" for agent, share in PAPER.items())
    lines += ["", f"The paper estimates, from reading code: {estimates}. Here it is measured, on calls that no SLM has learned from.", ""]
    lines += ["| task | share of calls | of these taken | n |", "|---|---:|---:|---:|"]
    for row in found["tasks"]:
        name = names.get(row["task"], row["task"]) if row["task"] else "no task"
        lines.append(f"| {name} | {row['calls_share']:.1%} | {row['taken']:.0%} | {row['n']} |")
    return "\n".join(lines)


def share_line(interval: Json) -> str:
    return f"{interval['mean']:.1%} [{interval['low']:.1%}, {interval['high']:.1%}]"


def promises_table(release: Json) -> str:
    """A row for every group and task with a certificate, as Markdown."""
    lines = ["| group | of | promise | about | sessions |", "|---|---|---|---|---:|"]
    for group, of in sorted(release["groups"].items()):
        if of["gold"]:
            lines.append(f"| {group} | {len(of['gold'])} tasks | what their checker passes is right | correctness | – |")
        for unit, found in of["certificates"].items():
            name = "all its calls" if unit == WHOLE else f"task {unit}"
            lines.append(f"| {group} | {name} | {found['told']} | {found['label']} | {found['sessions']:,} |")
    return "\n".join(lines)
