"""What is run together. One run cannot mix day and group partitions, so there is one job for each."""

import dagster as dg

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
    ["task_examples", "selected_base", "adapter", "eval_report"],
    "Builds a group's examples, fine-tunes its adapter if they changed, evaluates it and lets the gate decide.",
)
report = _job("report", ["fallback_failures", "scoreboard"], "Counts failures per group and draws the scoreboard.")

jobs = [refresh_days, recluster, retrain_group, report]
