"""Traffic brought into an empty home, as far as S3: what benches train on that do not need the whole loop."""

import warnings
from pathlib import Path

import pandas as pd

from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.s2_curate.canaries import PREFIX
from slm_pipeline.settings import Settings
from slm_pipeline.terminal import terminal


def files_of(data: Path) -> list[Path]:
    """The files with calls of a folder, or the file itself."""
    return [file for file in sorted(data.glob("*.jsonl*")) if "labels" not in file.name] if data.is_dir() else [data]


def collected(settings: Settings, data: Path) -> Lake:
    """Import the calls of `data` and run S1 to S3 on them; the lake with `task_examples`."""
    import dagster as dg

    from slm_pipeline.automation.state import group_keys
    from slm_pipeline.definitions import defs
    from slm_pipeline.imports import import_file
    from slm_pipeline.instance import open_instance
    from slm_pipeline.run import Loop
    from slm_pipeline.s1_collect.call_log import CallLog
    from slm_pipeline.s1_collect.roles import Role

    for file in files_of(data):
        import_file(file, settings, terminal(stderr=True))
    days = CallLog(settings, Role.PIPELINE).days()
    span = (days[0], days[-1])
    warnings.filterwarnings("ignore", category=dg.BetaWarning)
    loop = Loop(settings, Lake(settings.lake), open_instance(settings), defs)
    loop.execute("refresh_days", ["raw_calls", "curated_calls"], days=span)
    loop.execute("recluster")
    loop.execute("refresh_days", ["task_assignments"], days=span)
    for group in group_keys(loop.lake):
        loop.execute("retrain_group", ["task_examples"], partition=group)
    return loop.lake


def all_rows(found: Artefact) -> tuple[pd.DataFrame, set[str]]:
    """Every row of a group's `task_examples`, by id, those that training lost included; and the ids of those worth training on."""
    examples, left_out = found.table("examples"), found.table("left_out")
    rows = pd.concat([examples, left_out[examples.columns]]).drop_duplicates("id").sort_values("id", ignore_index=True)
    return rows, set(examples["id"])


def recorded(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows that are calls of the traffic, not copies that carry a canary: those are trained on, as ever, but not counted."""
    return rows[~rows["id"].str.startswith(PREFIX)]
