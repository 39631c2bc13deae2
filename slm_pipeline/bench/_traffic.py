"""Traffic brought into an empty home: as far as S3, for benches that do not need the whole loop, or through all of it."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from slm_pipeline.bench._step_lines import is_step_traffic
from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.records import AgentCall
from slm_pipeline.s2_curate.canaries import PREFIX
from slm_pipeline.settings import Settings
from slm_pipeline.terminal import terminal

if TYPE_CHECKING:
    from slm_pipeline.run import Loop

GOLD_STEPS = Path(__file__).with_name("_gold_steps.py")


def files_of(data: Path) -> list[Path]:
    """The files with calls of a folder, or the file itself."""
    return [file for file in sorted(data.glob("*.jsonl*")) if "labels" not in file.name] if data.is_dir() else [data]


def calls_of(files: Sequence[Path]) -> list[AgentCall]:
    """The calls of files; bad lines are left out."""
    from slm_pipeline.s1_collect.importers import BadLine, read_calls

    return [call for file in files for call in read_calls(file) if not isinstance(call, BadLine)]


def collected(settings: Settings, data: Path) -> Lake:
    """Import the calls of `data` and run S1 to S3 on them; the lake with `task_examples`."""
    loop = _clustered(settings, files_of(data))
    for group in _groups(loop):
        loop.execute("retrain_group", ["task_examples"], partition=group)
    return loop.lake


def trained(settings: Settings, files: Sequence[Path]) -> "Loop":
    """Import the calls of `files` and run the whole loop on them. Traffic of arithmetic steps has a checker that knows what is right."""
    loop = _clustered(settings, files)
    if is_step_traffic(calls_of(files)):
        settings.checkers.mkdir(parents=True, exist_ok=True)
        for group in _groups(loop):
            (settings.checkers / f"{group}.py").write_text(GOLD_STEPS.read_text())
    for group in _groups(loop):
        loop.execute("retrain_group", partition=group)
    loop.execute("report")
    return loop


def refresh(settings: Settings, loop: "Loop", assets: Sequence[str] = ("raw_calls", "curated_calls")) -> None:
    """Make the partitions of all days that have calls anew."""
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role

    days = CallLog(settings, Role.PIPELINE).days()
    loop.execute("refresh_days", list(assets), days=(days[0], days[-1]))


def _clustered(settings: Settings, files: Sequence[Path]) -> "Loop":
    """Import, and run S1 to S3 until every call has its group."""
    import dagster as dg

    from slm_pipeline.definitions import defs
    from slm_pipeline.imports import import_file
    from slm_pipeline.instance import open_instance
    from slm_pipeline.run import Loop

    for file in files:
        import_file(file, settings, terminal(stderr=True))
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    loop = Loop(settings, Lake(settings.lake), open_instance(settings), defs)
    refresh(settings, loop)
    loop.execute("recluster")
    refresh(settings, loop, ["task_assignments"])
    return loop


def _groups(loop: "Loop") -> list[str]:
    from slm_pipeline.automation.state import group_keys

    return group_keys(loop.lake)


def all_rows(found: Artefact) -> tuple[pd.DataFrame, set[str]]:
    """Every row of a group's `task_examples`, by id, those that training lost included; and the ids of those worth training on."""
    examples, left_out = found.table("examples"), found.table("left_out")
    rows = pd.concat([examples, left_out[examples.columns]]).drop_duplicates("id").sort_values("id", ignore_index=True)
    return rows, set(examples["id"])


def recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are calls of the traffic, not copies that carry a canary: those are trained on, as ever, but not counted."""
    return rows[~rows["id"].str.startswith(PREFIX)]
