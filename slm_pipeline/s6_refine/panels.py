"""An evaluation report as what Dagster's asset panel shows: figures, a table, links."""

import dagster as dg

from slm_pipeline.lake import Artefact
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s4_select.base_models import base_files
from slm_pipeline.s6_refine.evaluation import ALL_SCORES, metrics
from slm_pipeline.s6_refine.lm_eval_task import command_line
from slm_pipeline.s6_refine.promotion import ADAPTER, Promotion
from slm_pipeline.s6_refine.scoreboard import change, share
from slm_pipeline.settings import Settings


def report_metadata(
    report: Json, promotion: Promotion, attempt: Json, before: AdapterVersion | None, written: Artefact, settings: Settings
) -> dict[str, object]:
    """The report's figures, the gate, what the promotion did, and links. `before` was the champion when the evaluation began."""
    run, experiment = attempt["mlflow_run_id"], attempt["experiment_id"]
    metadata: dict[str, object] = dict(metrics(report))
    metadata |= {
        "verdict": f"{'promoted' if promotion.promoted else 'not promoted'}: {promotion.reason}",
        "gate": report["gate"]["reason"],
        "gate_metric": report["gate_metric"],
        "champion": f"v{promotion.champion}" if promotion.champion else "none",
        "mlflow_run": dg.MetadataValue.url(tracking.run_url(settings, experiment, run)),
    }
    if before and before.run_id != run:
        metadata["comparison_with_champion"] = dg.MetadataValue.url(tracking.comparison_url(settings, before.run_id, run, experiment))
    metadata["against_the_teacher"] = f"{report['noninferiority']['verdict']}: {report['noninferiority']['why']}"
    if report["slices"]:
        metadata["slices"] = dg.MetadataValue.md(slice_table(report))
    metadata["general_ability"] = general_line(report["general"])
    if report["judge"]:
        metadata["judge"] = judge_line(report["judge"])
    metadata["failures"] = dg.MetadataValue.md(failure_lines(report))
    if report["lm_eval"]:
        metadata["lm_eval"] = dg.MetadataValue.json(report["lm_eval"])
        if command := reproduce(report, written, settings):
            metadata["lm_eval_command"] = dg.MetadataValue.md(f"```sh\n{command}\n```")
    return metadata


def reproduce(report: Json, written: Artefact, settings: Settings) -> str:
    """The command that scores the report's adapter with lm-eval's own CLI; empty for a full fine-tuning, which has no PEFT folder."""
    files = written.lake.version(ADAPTER, report["group"], report["adapter"]["digest"])
    if "adapter_config.json" not in files.files:
        return ""
    adapter = files.local()
    base = base_files(report["base"]["name"], settings).folder
    return command_line(written.local(), report["group"], base, adapter, settings.lm_eval_limit, settings.lm_eval_batch)


def report_table(report: Json) -> str:
    """A Markdown table of systems by scores, with intervals, then the gains."""
    counted = {score: max(system[score]["n"] for system in report["systems"].values()) for score in ALL_SCORES}
    measured = [score for score, n in counted.items() if n and (score != "needless" or counted["abstained"])]
    heads = ["system", "prompt", "n", *measured, "tokens in + out", "latency p50 / p95 ms"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, system in report["systems"].items():
        scores = " | ".join(_with_interval(system[score]) for score in measured)
        tokens = f"{_number(system['prompt_tokens'])} + {_number(system['completion_tokens'])}"
        latency = f"{_number(system['latency_p50_ms'])} / {_number(system['latency_p95_ms'])}"
        lines.append(f"| {name} | {system['form'] or ''} | {system['n']} | {scores} | {tokens} | {latency} |")
    lines += ["", "| adapter minus | score | gain in points, paired | n |", "|---|---|---|---:|"]
    for other, gains in report["gain"].items():
        shown = {score: gain for score, gain in gains.items() if score != "accuracy" and gain["n"]}
        lines += [f"| {other} | {score} | {change(gain)} | {gain['n']} |" for score, gain in shown.items()]
    lines += [
        f"| {other}, newest third | {report['gate_metric']} | {change(gain)} | {gain['n']} |"
        for other, gain in report["newest"].items()
        if gain["n"]
    ]
    forms = ", ".join(f"{form} {mean:.1%}" for form, mean in report["base"]["forms"].items() if mean is not None)
    lines += ["", f"The gate compares `{report['gate_metric']}`. Base by prompt form: {forms}. {' '.join(report['notes'])}"]
    return "\n".join(lines)


def slice_table(report: Json) -> str:
    """The adapter's score by slice of the test split, as a Markdown table."""
    lines = [f"| by | slice | n | adapter, {report['gate_metric']} | gain over the base, paired |", "|---|---|---:|---|---|"]
    for row in report["slices"]:
        n = f"{row['n']} (few)" if row["few"] else row["n"]
        lines.append(f"| {row['by']} | {row['slice']} | {n} | {_with_interval(row['adapter'])} | {change(row['gain'])} |")
    return "\n".join(lines)


def failure_lines(report: Json) -> str:
    """How the adapter's answers were judged, and which arguments it gets wrong, most frequent first. No prompt is quoted: an erasure
    leaves panels as they are. The answers themselves are in the MLflow run."""
    verdicts, arguments = (_counted(report["failures"][of]) for of in ("verdicts", "arguments"))
    wrong = f"\n\nWrong arguments: {arguments}." if arguments else ""
    return f"{verdicts or 'No test calls'}.{wrong}\n\nEach answer stands in `{tracking.GRADED}` of the MLflow run, failures first."


def general_line(general: Json) -> str:
    """What fine-tuning cost of general ability."""
    lost = f"; lost: {', '.join(general['lost'][:10])}" if general["lost"] else ""
    before, after = f"{general['base']:.1%}", f"{general['adapter']:.1%}"
    return f"{before} before, {after} after, {change(general['change'])} points, of {general['n']} items{lost}"


def judge_line(judge: Json) -> str:
    """What the LLM judge said, and how often it could not be understood."""
    what = "mean mark, 0 to 1" if judge["form"] == "scale" else "share preferred to the teacher's answer, ties half"
    ended = f"; ended early: {judge['unavailable']}" if judge["unavailable"] else ""
    return f"{judge['model']}, {what}: {_with_interval(judge['score'])}, n = {judge['n']}, {judge['unreadable']} replies unreadable{ended}"


def _counted(counts: Json, most: int = 12) -> str:
    shown = [f"{n} {name}" for name, n in list(counts.items())[:most]]
    return ", ".join([*shown, *([f"and {len(counts) - most} others"] if len(counts) > most else [])])


def _with_interval(interval: Json) -> str:
    if interval["mean"] is None or interval["low"] is None:
        return share(interval)
    return f"{share(interval)} [{interval['low']:.1%}, {interval['high']:.1%}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
