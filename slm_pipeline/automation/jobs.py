"""What is run together. One run cannot mix day and group partitions, so there is one job for each."""

import dagster as dg

from slm_pipeline.s1_collect.erasure import delete_older_than
from slm_pipeline.settings import get_settings

# dagster.yaml lets one run of each value start at a time: two would write the same partitions
ONE_AT_A_TIME = "slm/one_at_a_time"


def _job(name: str, assets: list[str], description: str):
    return dg.define_asset_job(
        name,
        selection=dg.AssetSelection.assets(*assets),
        description=description,
        tags={ONE_AT_A_TIME: name},
        config={"loggers": {"console": {}}},
        executor_def=dg.in_process_executor,
    )


refresh_days = _job(
    "refresh_days",
    ["raw_calls", "curated_calls", "task_assignments"],
    "Books, curates and assigns the calls of one day or a range of days.",
)
recluster = _job("recluster", ["task_clusters", "candidate_models"], "Finds tasks and groups anew, and filters the catalogue of bases.")
retrain_group = _job(
    "retrain_group",
    ["task_examples", "selected_base", "adapter", "task_verdicts", "eval_report", "verifier_model", "router_model"],
    "Builds a group's examples, fine-tunes its adapter if they changed, evaluates it, lets the gate decide, and trains the router.",
)
report = _job(
    "report",
    ["fallback_failures", "scoreboard", "release", "replaceability", "savings"],
    "Counts failures per group, draws the scoreboard, and makes a release of the champions.",
)


@dg.op
def delete_old_calls(context: dg.OpExecutionContext) -> None:
    """Deletes the log's calls of more than `retention_days` days ago; what was curated from them stays."""
    settings = get_settings()
    deleted = delete_older_than(settings.retention_days, settings) if settings.retention_days else 0
    context.log.info(f"{deleted:,} calls deleted from the log")


@dg.job(description="Deletes calls that are older than `retention_days` from the log.", executor_def=dg.in_process_executor)
def apply_retention() -> None:
    delete_old_calls()


jobs = [refresh_days, recluster, retrain_group, report, apply_retention]
