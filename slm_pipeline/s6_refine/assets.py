"""S6: is the adapter better than what it would replace, what failed, and how does everything stand."""

import dagster as dg
import pandas as pd

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.partitions import groups
from slm_pipeline.plots import as_markdown_image, groups_png, rounds_png, scores_png
from slm_pipeline.prices import read_prices
from slm_pipeline.resources import tracking
from slm_pipeline.s6_refine.asking import evaluate
from slm_pipeline.s6_refine.costs import by_agent_and_task, costed, read_calls, unpriced
from slm_pipeline.s6_refine.evaluation import metrics
from slm_pipeline.s6_refine.failures import ASSIGNMENT_COLUMNS, CURATED_COLUMNS, count_failures, totals_table
from slm_pipeline.s6_refine.panels import report_metadata, report_table
from slm_pipeline.s6_refine.promotion import ADAPTER, ATTEMPT, REPORT, promote_if_passed
from slm_pipeline.s6_refine.release import CLUSTERS, build_release
from slm_pipeline.s6_refine.release_panels import promises_table, router_metadata
from slm_pipeline.s6_refine.replaceability import by_checker
from slm_pipeline.s6_refine.replaceability import replaceability as measure_replaceability
from slm_pipeline.s6_refine.reports import replaceability_markdown, savings_markdown
from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout
from slm_pipeline.s6_refine.routing import ROUTER, train_router
from slm_pipeline.s6_refine.savings import savings as measure_savings
from slm_pipeline.s6_refine.scoreboard import as_markdown, build_scoreboard, without_times
from slm_pipeline.settings import Settings, get_settings

FAILURES, SCOREBOARD = "s6_refine/fallback_failures", "s6_refine/scoreboard"
REPLACEABILITY, SAVINGS = "s6_refine/replaceability", "s6_refine/savings"
CURATED, ASSIGNMENTS = "s2_curate/curated_calls", "s3_cluster/task_assignments"
OWNERS = ["team:slm_pipeline"]


@dg.asset(group_name="s6_refine", kinds={"llamacpp", "mlflow"}, owners=OWNERS, partitions_def=groups, deps=["adapter", "task_examples"])
def eval_report(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Base, adapter, champion and teacher on the group's untouched test split, and what the gate makes of it.

    The base is judged at its best: the better of full and factored prompt, with examples, under the same schema constraint as
    the adapter. Every score comes with n and a 95 % interval that resamples sessions; fidelity (agreement with the teacher) and
    correctness (agreement with gold) are two numbers. The adapter becomes champion only if it beats the champion (at first: the
    base) beyond noise. Started by hand, weekly, or by the sensor `retrain_on_fallbacks`.
    """
    settings, group = get_settings(), context.partition_key
    if Lake(settings.lake).read(ADAPTER, group) is None:
        return dg.MaterializeResult(metadata={"verdict": "no adapter: the panel of `adapter` says why"})
    before = tracking.champion(settings, group)
    written, fresh = evaluate(group, before, settings, context.log.info)
    report, attempt = written.json("report"), Lake(settings.lake).read(ATTEMPT, group).json("attempt")
    tracking.log_scores(settings, attempt["mlflow_run_id"], metrics(report))
    tracking.log_graded(settings, attempt["mlflow_run_id"], written.table("graded").head(settings.graded_rows))
    promotion = promote_if_passed(group, settings)
    metadata = {
        "scores": dg.MetadataValue.md(report_table(report)),
        "plot": dg.MetadataValue.md(as_markdown_image(scores_png(report), "scores by system")),
        **report_metadata(report, promotion, attempt, before, written, settings),
        "asked_again": fresh,
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(written.digest))


@dg.asset(group_name="s6_refine", kinds={"parquet"}, owners=OWNERS, deps=["curated_calls", "task_assignments"])
def fallback_failures() -> dg.MaterializeResult:
    """Calls whose SLM answer was not used, by group, cumulative since the first day.

    Counts curated calls, so a failure counts once it can be trained on; failures outside the training split are only counted as
    held out. The sensor `retrain_on_fallbacks` starts `task_examples`, `adapter` and `eval_report` of a group whose failures since
    its newest adapter reach the threshold; an asset dependency back to them would be a cycle.
    """
    settings = get_settings()
    lake = Lake(settings.lake)
    counts, rows = count_failures(*_failed_calls(lake))
    written = lake.write(FAILURES, None, {"failures": counts, "failures_table": rows})
    seen = {group: lake.read(ATTEMPT, group).json("attempt")["failures_total"] for group in lake.partitions(ATTEMPT)}
    metadata = {
        "failures": dg.MetadataValue.md(totals_table(counts, seen, settings.failure_threshold)),
        "total": sum(count["total"] for count in counts.values()),
        "totals": {group: count["total"] for group, count in counts.items()},
        "threshold": settings.failure_threshold,
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(written.digest))


@dg.asset(group_name="s6_refine", kinds={"markdown"}, owners=OWNERS, deps=["eval_report", "fallback_failures"])
def scoreboard() -> dg.MaterializeResult:
    """All groups at one glance: scores with intervals, gain over the base, champion, the gate's reason, tokens, latency; and all
    groups pooled. Every figure is taken from the groups' reports."""
    settings = get_settings()
    lake = Lake(settings.lake)
    written = {group: lake.read(REPORT, group) for group in lake.partitions(REPORT)}
    if not written:
        return dg.MaterializeResult(metadata={"scoreboard": "no group was evaluated yet"})
    board, plot = _draw(written, lake, settings)
    text = as_markdown(board)
    version = digest({group: report.digest for group, report in written.items()}, without_times(board))
    artefact = lake.write(SCOREBOARD, None, {"scoreboard": board, "scoreboard.md": text, "scoreboard.png": plot}, version=version)
    metadata = {
        "scoreboard": dg.MetadataValue.md(text),
        "plot": dg.MetadataValue.md(as_markdown_image(plot, "accuracy by group")),
        "champions": board["champions"],
    } | {f"pooled_{metric}": dg.MetadataValue.json(figures) for metric, figures in board["pooled"].items()}
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artefact.digest))


@dg.asset(group_name="s6_refine", kinds={"markdown"}, owners=OWNERS, deps=["raw_calls", "router_model", "task_assignments"])
def replaceability() -> dg.MaterializeResult:
    """What share of all calls, tokens and cost SLMs can take without losing more than a stated margin of answers that the LLM gets right,
    with intervals, by agent and task; beside what the paper estimates for three agents."""
    settings = get_settings()
    lake = Lake(settings.lake)
    clusters = lake.read(CLUSTERS)
    if clusters is None:
        return dg.MaterializeResult(metadata={"replaceability": "no tasks are known yet"})
    tasks = clusters.json("clusters")["tasks"]
    routers = {group: lake.read(ROUTER, group) for group in lake.partitions(ROUTER)}
    outcomes = {group: by_checker(router.table("outcomes"), router.json("router")["gold"]) for group, router in routers.items()}
    calls, groups = costed(read_calls(lake), read_prices(settings)), {task["key"]: task["group"] for task in tasks}
    traffic, margin = by_agent_and_task(calls), settings.noninferiority_margin
    found = measure_replaceability(outcomes, traffic, groups, margin, settings.bootstrap_samples, settings.seed)
    found["unpriced"] = unpriced(calls)
    text = replaceability_markdown(found, {task["key"]: task["name"] for task in tasks})
    artefact = lake.write(REPLACEABILITY, None, {"replaceability": found, "replaceability.md": text})
    metadata: dict[str, object] = {"replaceability": dg.MetadataValue.md(text)}
    if found["calls"]:
        metadata["share of calls"] = found["calls"]["mean"]
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artefact.digest))


@dg.asset(group_name="s6_refine", kinds={"markdown"}, owners=OWNERS, deps=["raw_calls", "task_assignments", "release"])
def savings() -> dg.MaterializeResult:
    """What SLMs have served since the first release, how often audits found them wrong, and the money and time that this saved; by release,
    so that the trend over rounds of learning is seen, by agent and by task."""
    settings = get_settings()
    lake = Lake(settings.lake)
    clusters, calls = lake.read(CLUSTERS), costed(read_calls(lake), read_prices(settings))
    names = {task["key"]: task["name"] for task in clusters.json("clusters")["tasks"]} if clusters else {}
    found = measure_savings(calls, settings)
    text = savings_markdown(found, unpriced(calls), names)
    contents = {"savings": found or {}, "savings.md": text} | ({"savings.png": rounds_png(found["rounds"])} if found else {})
    artefact = lake.write(SAVINGS, None, contents)
    metadata: dict[str, object] = {"savings": dg.MetadataValue.md(text)}
    if found:
        metadata["plot"] = dg.MetadataValue.md(as_markdown_image(contents["savings.png"], "share served by release"))
        metadata |= {
            name: found["in_all"][name] for name in ("calls", "slm", "saved_usd", "saved_seconds") if found["in_all"][name] is not None
        }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(artefact.digest))


def _draw(written: dict[str, Artefact], lake: Lake, settings: Settings) -> tuple[dict, bytes]:
    reports = {group: artefact.json("report") for group, artefact in written.items()}
    predictions = pd.concat([artefact.table("predictions").assign(group=group) for group, artefact in written.items()], ignore_index=True)
    champions = {group: version.version for group in reports if (version := tracking.champion(settings, group))}
    failures = lake.read(FAILURES)
    return build_scoreboard(reports, predictions, champions, failures.json("failures") if failures else {}, settings), groups_png(reports)


def _failed_calls(lake: Lake) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The failed calls of all days and their assignments; read day by day, for most calls have not failed."""
    calls, assignments = [pd.DataFrame(columns=CURATED_COLUMNS)], [pd.DataFrame(columns=ASSIGNMENT_COLUMNS)]
    for day in lake.partitions(CURATED):
        table = lake.read(CURATED, day).table("calls")
        failed = table.loc[table["failed_model"].notna(), CURATED_COLUMNS]
        assigned = lake.read(ASSIGNMENTS, day)
        if len(failed) and assigned:
            calls.append(failed)
            assignments.append(assigned.table("assignments")[ASSIGNMENT_COLUMNS])
    return pd.concat(calls, ignore_index=True), pd.concat(assignments, ignore_index=True)


@dg.asset(
    group_name="s6_refine", kinds={"pytorch", "llamacpp"}, owners=OWNERS, partitions_def=groups, deps=["eval_report"], pool="training"
)
def verifier_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """A small model that says whether an answer of the champion is right, if `verifier_examples` asks for one: an adapter on the same base,
    trained on the champion's own answers to training calls."""
    from slm_pipeline.s6_refine.verifier_model import train_verifier

    settings, group = get_settings(), context.partition_key
    champion = tracking.champion(settings, group)
    if champion is None or not settings.verifier_examples:
        return dg.MaterializeResult(metadata={"verifier": "no champion" if champion is None else "off: verifier_examples is 0"})
    written, fresh = train_verifier(group, champion, settings, context.log.info)
    if written is None:
        return dg.MaterializeResult(metadata={"verifier": "none: the champion was too seldom right, or wrong"})
    metadata = {"trained_now": fresh} | written.json("verifier")
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(written.digest))


@dg.asset(
    group_name="s6_refine", kinds={"scikitlearn", "llamacpp"}, owners=OWNERS, partitions_def=groups, deps=["eval_report", "verifier_model"]
)
def router_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Who answers a call of this group: a router that decides before the SLM is asked, and a verifier that judges its answer.

    Both learn from the champion's answers to the validation split; its answers to the calibration split are kept for certificates alone.
    """
    settings, group = get_settings(), context.partition_key
    champion = tracking.champion(settings, group)
    if champion is None:
        return dg.MaterializeResult(metadata={"router": "no champion: all calls go to the LLM"})
    written, fresh = train_router(group, champion, settings, context.log.info)
    if written is None:
        return dg.MaterializeResult(metadata={"router": "no validation calls yet: all calls go to the LLM"})
    metadata = router_metadata(written.table("outcomes"), written.json("router"), settings.alpha)
    return dg.MaterializeResult(metadata=metadata | {"trained_now": fresh}, data_version=dg.DataVersion(written.digest))


@dg.asset(group_name="s6_refine", kinds={"json"}, owners=OWNERS, deps=["router_model"])
def release() -> dg.MaterializeResult:
    """What the gateway serves: the champions with their routers, and for every group and task what is promised: among the calls that its
    SLM serves, at most alpha are wrong where the LLM is right, with confidence 1 - delta; or that nothing can be, and what is missing.
    """
    settings = get_settings()
    written, fresh = build_release(settings)
    if written is None:
        return dg.MaterializeResult(metadata={"release": "none: no champion has a router"})
    release, lake = written.json("release"), Lake(settings.lake)
    if (rollout := read_rollout(lake)) != (offered := rollout.offered(written.digest)):
        write_rollout(lake, offered)
    metadata = {
        "release": written.digest,
        "new": fresh,
        "serving": offered.serving or "none",
        "on trial": offered.stage or "no",
        "promises": dg.MetadataValue.md(promises_table(release)),
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(written.digest))
