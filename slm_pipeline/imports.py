"""`slm import`: a file of recorded calls into the log, with every bad line named."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slm_pipeline.s1_collect import importers
from slm_pipeline.s1_collect.call_log import Appended, CallLog
from slm_pipeline.settings import Settings

BAD_LINES_SHOWN = 20


def import_file(file: Path, settings: Settings, console: Console) -> tuple[Appended, int]:
    """Append the calls of `file` to the log and print what happened; returns what the log did and the number of bad lines."""
    bad = 0

    def report(line: importers.BadLine) -> None:
        nonlocal bad
        bad += 1
        if bad <= BAD_LINES_SHOWN:
            console.print(f"{file.name}:{line.line}: {line.reason}", style="red", highlight=False, markup=False, soft_wrap=True)

    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True) as progress:
        progress.add_task(f"reading {file.name}")
        appended = importers.import_file(file, CallLog(settings.call_log, settings.first_day), report)
    if bad > BAD_LINES_SHOWN:
        console.print(f"... and {bad - BAD_LINES_SHOWN:,} more bad lines")
    console.print(f"{file.name}: {appended.added:,} added, {appended.repeated:,} known already, {bad:,} bad", highlight=False)
    return appended, bad
