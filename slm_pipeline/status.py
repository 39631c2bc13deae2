"""`slm status`: the scoreboard, the champions, what is running."""

from datetime import UTC, datetime

import dagster as dg
from rich.console import Console
from rich.table import Table

from slm_pipeline.automation.state import PARTITION_TAG, UNFINISHED, failure_totals, failures_seen, group_keys
from slm_pipeline.instance import open_instance
from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.database import log_exists
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s6_refine.rollout import read_rollout
from slm_pipeline.s6_refine.scoreboard import SCORE, change, gate_line, share, tool_line
from slm_pipeline.settings import Settings
from slm_pipeline.up import answers


def print_status(settings: Settings, console: Console) -> None:
    """Print the state of the loop; changes nothing."""
    lake = Lake(settings.lake)
    print_scoreboard(lake, console)
    console.print(_log_line(settings), highlight=False)
    console.print(_release_line(lake), highlight=False)
    console.print(_groups(lake, settings))
    console.print(_runs(open_instance(settings)))
    servers = (
        ("Gateway", settings.gateway_url, "healthz"),
        ("Dagster", settings.dagster_url, "server_info"),
        ("MLflow", settings.mlflow_url, "health"),
    )
    for name, url, probe in servers:
        console.print(f"{name:<8} {url if answers(f'{url}/{probe}') else 'is not running; `slm up` starts it'}", highlight=False)


def print_scoreboard(lake: Lake, console: Console) -> None:
    """The newest scoreboard, or that there is none."""
    written = lake.read("s6_refine/scoreboard")
    if written is None:
        console.print("There is no scoreboard yet: `slm run` makes one.")
        return
    board = written.json("scoreboard")
    table = Table(
        "Group", "n", "Base", "Adapter", "Gain, points", "Right tool (majority)", "Champion", title="Scores", title_justify="left"
    )
    for row in board["groups"]:
        table.add_row(row["group"], *_scores(row), row["champion"] or "none: the base")
    for metric, row in board["pooled"].items():
        table.add_row(f"all groups: {SCORE[metric]}", *_scores(row), "", style="bold")
    console.print(table)
    for line in (*map(gate_line, board["groups"]), tool_line(board)):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _scores(row: Json) -> list[str]:
    tool = f"{share(row['tool'])} ({share(row['majority'])})" if row.get("tool") else ""
    return [str(row["n"]), share(row["base"]), share(row["adapter"]), change(row["gain"]), tool]


def _log_line(settings: Settings) -> str:
    days = CallLog(settings, Role.PIPELINE).days() if log_exists(settings) else []
    return (
        f"The log holds calls of {len(days)} days, {days[0]} to {days[-1]}."
        if days
        else "The log holds no calls: `slm sample` or `slm import FILE`."
    )


def _release_line(lake: Lake) -> str:
    rollout = read_rollout(lake)
    trial = f"; {rollout.candidate} is on trial as {rollout.stage}, `slm release promote` brings it further" if rollout.candidate else ""
    if rollout.serving is None:
        return f"No release serves: the LLM answers everything{trial}."
    withdrawn = f", but for {', '.join(rollout.withdrawn)} (withdrawn)" if rollout.withdrawn else ""
    return f"Release {rollout.serving} serves{withdrawn}{trial}."


def _groups(lake: Lake, settings: Settings) -> Table:
    failures, seen = failure_totals(lake), failures_seen(lake)
    table = Table(
        "Group", "Champion", f"Failures since training (retrains at {settings.failure_threshold})", title="Champions", title_justify="left"
    )
    for group in group_keys(lake):
        since = str(failures.get(group, 0) - seen[group]) if group in seen else "no adapter"
        champion = tracking.champion(settings, group) if group in seen else None
        table.add_row(group, f"version {champion.version}" if champion else "none: the base", since)
    return table


def _runs(instance: dg.DagsterInstance) -> Table:
    table = Table("Run", "Job", "Of", "Since (UTC)", "Status", title="Running", title_justify="left")
    for record in instance.get_run_records(dg.RunsFilter(statuses=UNFINISHED)):
        run, since = record.dagster_run, record.start_time or record.create_timestamp.timestamp()
        clock = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(run.run_id[:8], run.job_name, run.tags.get(PARTITION_TAG, ""), clock, run.status.value.lower())
    return table
