"""An evaluation report as what Dagster's asset panel shows: figures, a table, links."""

import dagster as dg

from slm_pipeline.lake import Artefact
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.resources.tracking import AdapterVersion
from slm_pipeline.s4_select.base_models import base_files
from slm_pipeline.s6_refine.evaluation import metrics
from slm_pipeline.s6_refine.lm_eval_task import command_line
from slm_pipeline.s6_refine.promotion import ADAPTER, Promotion
from slm_pipeline.s6_refine.scoreboard import change, share
from slm_pipeline.scores import SCORES
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
    if report["lm_eval"]:
        metadata["lm_eval"] = dg.MetadataValue.json(report["lm_eval"])
        metadata["lm_eval_command"] = dg.MetadataValue.md(f"```sh\n{reproduce(report, written, settings)}\n```")
    return metadata


def reproduce(report: Json, written: Artefact, settings: Settings) -> str:
    """The command that scores the report's adapter with lm-eval's own CLI."""
    adapter = written.lake.version(ADAPTER, report["group"], report["adapter"]["digest"]).local()
    base = base_files(report["base"]["name"], settings).folder
    return command_line(written.local(), report["group"], base, adapter, settings.lm_eval_limit, settings.lm_eval_batch)


def report_table(report: Json) -> str:
    """A Markdown table of systems by scores, with intervals, then the gains."""
    heads = ["system", "prompt", "n", *SCORES, "tokens in + out", "latency p50 / p95 ms"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, system in report["systems"].items():
        scores = " | ".join(_with_interval(system[score]) for score in SCORES)
        tokens = f"{_number(system['prompt_tokens'])} + {_number(system['completion_tokens'])}"
        latency = f"{_number(system['latency_p50_ms'])} / {_number(system['latency_p95_ms'])}"
        lines.append(f"| {name} | {system['form'] or ''} | {system['n']} | {scores} | {tokens} | {latency} |")
    lines += ["", "| adapter minus | score | gain in points, paired | n |", "|---|---|---|---:|"]
    for other, gains in report["gain"].items():
        shown = {score: gain for score, gain in gains.items() if score != "accuracy" and gain["n"]}
        lines += [f"| {other} | {score} | {change(gain)} | {gain['n']} |" for score, gain in shown.items()]
    forms = ", ".join(f"{form} {mean:.1%}" for form, mean in report["base"]["forms"].items() if mean is not None)
    lines += ["", f"The gate compares `{report['gate_metric']}`. Base by prompt form: {forms}. {' '.join(report['notes'])}"]
    return "\n".join(lines)


def _with_interval(interval: Json) -> str:
    if interval["mean"] is None or interval["low"] is None:
        return share(interval)
    return f"{share(interval)} [{interval['low']:.1%}, {interval['high']:.1%}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.0f}"
