"""Checks of S6: does the adapter pass the gate, on enough calls, and do independent measurements agree?"""

import math

import dagster as dg

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s6_refine.assets import eval_report
from slm_pipeline.s6_refine.evaluation import metrics
from slm_pipeline.s6_refine.promotion import ATTEMPT, REPORT
from slm_pipeline.settings import Settings, get_settings

WARN = dg.AssetCheckSeverity.WARN


def _reports(context: dg.AssetCheckExecutionContext, settings: Settings) -> dict[str, Json]:
    """The reports to check by group: that of the run's partition, else all."""
    lake = Lake(settings.lake)
    written = lake.partitions(REPORT)
    keys = [context.partition_key] if context.has_partition_key else written
    return {group: lake.read(REPORT, group).json("report") for group in keys if group in written}


@dg.asset_check(asset=eval_report)
def beats_champion(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The adapter passed the gate: its paired gain over the champion (at first: the base) lies above 0 beyond noise."""
    gates = {group: report["gate"] for group, report in _reports(context, get_settings()).items()}
    metadata = {"threshold": "lower end of the 95 % interval of the gain above 0"}
    for group, gate in gates.items():
        metadata |= {f"{group} gain": gate["gain"] or 0.0, f"{group} low": gate["low"] or 0.0, f"{group} verdict": gate["reason"]}
    return dg.AssetCheckResult(passed=all(gate["passed"] for gate in gates.values()), severity=WARN, metadata=metadata)


@dg.asset_check(asset=eval_report)
def enough_test_calls(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The test split is large enough for the gate to judge."""
    settings = get_settings()
    counts = {group: report["n"] for group, report in _reports(context, settings).items()}
    passed = all(n >= settings.min_test_calls for n in counts.values())
    return dg.AssetCheckResult(passed=passed, severity=WARN, metadata={**counts, "threshold": settings.min_test_calls})


@dg.asset_check(asset=eval_report)
def agrees_with_lm_eval(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """lm-eval's exact match of the adapter lies near ours, which is held to a schema and decoded by llama.cpp."""
    settings = get_settings()
    both = {group: report["lm_eval"] for group, report in _reports(context, settings).items() if report["lm_eval"]}
    differences = {group: scores["ours"] - scores["adapter"]["exact_match"] for group, scores in both.items()}
    metadata: dict[str, object] = {"threshold": settings.lm_eval_tolerance}
    for group, scores in both.items():
        theirs = scores["adapter"]
        metadata |= {f"{group} ours": scores["ours"], f"{group} lm-eval": theirs["exact_match"], f"{group} n": theirs["n"]}
    passed = all(abs(difference) <= settings.lm_eval_tolerance for difference in differences.values())
    return dg.AssetCheckResult(passed=passed, severity=WARN, metadata=metadata)


@dg.asset_check(asset=eval_report)
def figures_agree(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """The figures of the report are the very figures of the adapter's MLflow run."""
    settings, lake = get_settings(), Lake(get_settings().lake)
    differing = {}
    for group, report in _reports(context, settings).items():
        run = tracking.client(settings).get_run(lake.read(ATTEMPT, group).json("attempt")["mlflow_run_id"])
        for name, value in metrics(report).items():
            if not _same(value, logged := run.data.metrics.get(name)):
                differing[f"{group} {name}"] = f"{value} / {logged}"
    return dg.AssetCheckResult(passed=not differing, metadata={**differing, "threshold": "equal"})


def _same(one: float, other: float | None) -> bool:
    return other is not None and math.isclose(one, other, rel_tol=1e-12)
