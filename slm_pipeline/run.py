"""`slm run`: the whole loop once, in this process, on the same instance that the web UI shows."""

import time
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import dagster as dg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slm_pipeline.automation.sensors import day_range_tags
from slm_pipeline.automation.state import group_keys
from slm_pipeline.instance import open_instance, process_tags, recover_dead_runs
from slm_pipeline.lake import Lake
from slm_pipeline.s1_collect.call_log import CallLog
from slm_pipeline.s1_collect.database import log_exists
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.s6_refine.release import RELEASE, told
from slm_pipeline.settings import Settings
from slm_pipeline.status import print_scoreboard

CURATED = "s2_curate/curated_calls"


class StageFailed(RuntimeError):
    """An asset of the loop failed; the message says which and why."""


@dataclass(frozen=True)
class Loop:
    """What every stage of one `slm run` needs."""

    settings: Settings
    lake: Lake
    instance: dg.DagsterInstance
    definitions: dg.Definitions

    def execute(self, job: str, assets: list[str] | None = None, partition: str | None = None, days: tuple[str, str] | None = None) -> None:
        """One Dagster run of a job, or of some of its assets; raises StageFailed with the asset's error."""
        result = self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets] if assets else None,
            partition_key=partition,
            run_config={"loggers": {"console": {}}},
            # a run of this process is not the daemon's to start again
            tags=process_tags() | {"dagster/max_retries": "0"} | (day_range_tags(*days) if days else {}),
            raise_on_error=False,
        )
        if not result.success:
            raise StageFailed(_failure(result))


def run_loop(settings: Settings, console: Console) -> None:
    """Collect, curate, cluster, select, fine-tune, evaluate and release what the log holds now; prints the scoreboard and the promises.

    Raises ValueError if the log has no calls, StageFailed if an asset fails. Stages skip what is unchanged, so a second run is quick.
    """
    days = CallLog(settings, Role.PIPELINE).days() if log_exists(settings) else []
    if not days:
        raise ValueError("The log has no calls: bring some with `slm sample` or `slm import FILE`, or point an agent at `slm serve`.")
    span = (days[0], days[-1])
    instance = open_instance(settings)
    for run_id in recover_dead_runs(instance):
        console.print(f"[yellow]run {run_id[:8]} was killed; it is marked failed and its pool slots are free again[/]")
    warnings.filterwarnings("ignore", category=dg.BetaWarning)  # single-run backfills are what makes a run of many days one run
    from slm_pipeline.definitions import defs

    loop = Loop(settings, Lake(settings.lake), instance, defs)
    began = time.monotonic()
    with _stages(console) as stage:
        stage(
            "S1 S2  collect, curate",
            partial(loop.execute, "refresh_days", ["raw_calls", "curated_calls"], days=span),
            partial(_calls, loop),
        )
        stage("S3 S4  find tasks, filter bases", partial(loop.execute, "recluster"), partial(_tasks, loop))
        stage("S3     assign calls", partial(loop.execute, "refresh_days", ["task_assignments"], days=span))
        for group in group_keys(loop.lake):
            stage(f"S3-S6  {group}", partial(loop.execute, "retrain_group", partition=group), partial(_group, loop, group))
        stage("S6     report", partial(loop.execute, "report"))
    print_scoreboard(loop.lake, console)
    if written := loop.lake.read(RELEASE):
        for line in told(written.json("release")):
            console.print(f"[bold]Release[/] {line}", highlight=False, soft_wrap=True)
    console.print(f"The loop took {_seconds(time.monotonic() - began)}. `slm up` shows it in the browser.")


def _failure(result: dg.ExecuteInProcessResult) -> str:
    lines = []
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        lines.append(f"{event.step_key} failed: {(error.cause or error).to_string().strip() if error else event.message}")
    return "\n".join(lines) or f"Run {result.run_id} failed; `slm up` shows its log."


@contextmanager
def _stages(console: Console):
    """A function that does one stage with a running clock, then prints what it found and how long it took."""
    spinner = Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True)
    with spinner:

        def stage(name: str, work: Callable[[], None], found: Callable[[], str] = str) -> None:
            task, began = spinner.add_task(name), time.monotonic()
            if not console.is_terminal:
                console.print(f"{name} ...")
            work()
            spinner.remove_task(task)
            console.print(f"[green]done[/]  {name:<34} {_seconds(time.monotonic() - began):>8}  {found()}", highlight=False, soft_wrap=True)

        yield stage


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _calls(loop: Loop) -> str:
    days = (loop.lake.read(CURATED, day) for day in loop.lake.partitions(CURATED))
    funnels = [day.json("funnel") for day in days if day]
    calls, kept = (sum(funnel[key] for funnel in funnels) for key in ("calls", "kept"))
    return f"{calls:,} calls on {sum(1 for f in funnels if f['calls'])} days, {kept:,} kept"


def _tasks(loop: Loop) -> str:
    clusters = loop.lake.read("s3_cluster/task_clusters").json("clusters")
    return f"{len(clusters['tasks'])} tasks in {len(clusters['groups'])} groups, {clusters['unassigned_share']:.0%} of calls in none"


def _group(loop: Loop, group: str) -> str:
    adapter = loop.lake.read("s5_finetune/adapter", group)
    if adapter is None:
        return "no adapter"
    training = adapter.json("training")
    return f"adapter on {training['base']}, {training['examples']:,} examples, best epoch {training['best_epoch']}"
