"""What a person reads: every group's scores in one table, and all groups pooled."""

from collections.abc import Mapping

import pandas as pd

from slm_pipeline.records import Json
from slm_pipeline.s6_refine.evaluation import compare, measure
from slm_pipeline.settings import Settings

HEAD = "| group | n | base | adapter | gain, points | right tool | majority tool | champion |"
RULE = "|---|---:|---:|---:|---|---:|---:|---|"
SCORE = {"call": "whole calls right", "similarity": "text similarity", "checked": "passed by checkers"}


def build_scoreboard(
    reports: Mapping[str, Json], predictions: pd.DataFrame, champions: Mapping[str, str], failures: Json, settings: Settings
) -> Json:
    """All groups' figures, taken from their reports, and the pooled ones.

    `predictions` are those of all groups, one below the other, with a column `group`. `champions` names each group's
    champion version. `failures` is failures.json.
    """
    return {
        "groups": [
            _row(group, report, champions.get(group), failures.get(group, {}).get("total", 0)) for group, report in sorted(reports.items())
        ],
        "pooled": pool(reports, predictions, settings),
        "champions": len(champions),
    }


def without_times(scoreboard: Json) -> Json:
    """The scoreboard without its measured latencies: what is the same wherever the same answers were given."""
    return scoreboard | {"groups": [{key: value for key, value in row.items() if key != "latency_p50_ms"} for row in scoreboard["groups"]]}


def pool(reports: Mapping[str, Json], predictions: pd.DataFrame, settings: Settings) -> Json:
    """Figures over all groups of one gate metric, {"call": {...}, "similarity": {...}, "checked": {...}}.

    Groups are pooled by rows, not by means: every test call counts with its traffic weight. Sessions are resampled across groups.
    """
    pooled = {}
    for metric in SCORE:
        tasks = {group for group, report in reports.items() if report["gate_metric"] == metric}
        rows = predictions[predictions["group"].isin(tasks)]
        if rows.empty:
            continue
        figures = {
            "base": measure(rows, "base", metric, settings),
            "adapter": measure(rows, "adapter", metric, settings),
            "gain": compare(rows, "adapter", "base", metric, settings),
        }
        if metric == "call":
            figures |= {
                "tool": measure(rows, "adapter", "tool", settings),
                "majority": measure(rows, "majority", "tool", settings),
                "tool_gain": compare(rows, "adapter", "majority", "tool", settings),
            }
        pooled[metric] = {"n": figures["gain"].n, "groups": len(tasks), **{name: interval.json() for name, interval in figures.items()}}
    return pooled


def as_markdown(scoreboard: Json) -> str:
    """The scoreboard as a Markdown table, pooled lines last, then what the gate says of each group."""
    lines = [HEAD, RULE]
    for row in scoreboard["groups"]:
        lines.append(
            f"| {row['group']} | {row['n']} | {share(row['base'])} | {share(row['adapter'])} | {change(row['gain'])} "
            f"| {share(row['tool'])} | {share(row['majority'])} | {row['champion'] or 'none'} |"
        )
    for metric, row in scoreboard["pooled"].items():
        groups = "1 group" if row["groups"] == 1 else f"{row['groups']} groups"
        lines.append(
            f"| **all: {groups}, {SCORE[metric]}** | {row['n']} | {share(row['base'])} | {share(row['adapter'])} "
            f"| {change(row['gain'])} | {share(row.get('tool'))} | {share(row.get('majority'))} | |"
        )
    lines += ["", *(f"- {gate_line(row)}" for row in scoreboard["groups"]), "", tool_line(scoreboard)]
    return "\n".join(lines) + "\n"


def gate_line(row: Json) -> str:
    """What the gate says of a group, what an answer of its adapter takes, and whether it is worse than the teacher."""
    takes = f"{_number(row['prompt_tokens'])} tokens in, {_number(row['completion_tokens'])} out"
    told = row.get("against_teacher")
    teacher = f" Against the teacher {told['verdict']}: {told['why']}." if told else ""
    median = f"{_number(row['latency_p50_ms'])} ms at the median"
    return f"{row['group']}: {row['gate']}. Score: {SCORE[row['score']]}; {takes}, {median}.{teacher}"


def tool_line(scoreboard: Json) -> str:
    """How much oftener the right tool is named than by always naming the task's majority tool, and how to read the figures."""
    tool = scoreboard["pooled"].get("call", {}).get("tool_gain")
    more = (
        f"Right tool more often than each task's majority tool by {change(tool)} points (n = {tool['n']}). " if tool and tool["n"] else ""
    )
    champions = f"{scoreboard['champions']} champion{'' if scoreboard['champions'] == 1 else 's'}"
    return f"{more}{champions}. Gains are paired; brackets hold 95 % intervals that resample sessions."


def share(interval: Json | None) -> str:
    """A share as a person reads it: percent."""
    return "–" if not interval or interval["mean"] is None else f"{interval['mean']:.1%}"


def change(interval: Json) -> str:
    """A difference of shares with its interval, in points."""
    if interval["mean"] is None:
        return "–"
    bounds = "" if interval["low"] is None else f" [{interval['low'] * 100:+.1f}, {interval['high'] * 100:+.1f}]"
    return f"{interval['mean'] * 100:+.1f}{bounds}"


def _row(group: str, report: Json, champion: str | None, failures: int) -> Json:
    adapter, base = report["systems"]["adapter"], report["systems"]["base"]
    return {
        "group": group,
        "score": report["gate_metric"],
        "n": report["n"],
        "base": base["accuracy"],
        "adapter": adapter["accuracy"],
        "gain": report["gain"]["base"]["accuracy"],
        "tool": adapter["tool"],
        "majority": report["systems"].get("majority", {}).get("tool"),
        "champion": f"v{champion}" if champion else None,
        "gate": report["gate"]["reason"],
        "against_teacher": report.get("noninferiority"),  # reports of older versions lack it
        "prompt_tokens": adapter["prompt_tokens"],
        "completion_tokens": adapter["completion_tokens"],
        "latency_p50_ms": adapter["latency_p50_ms"],
        "failures": failures,
    }


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
