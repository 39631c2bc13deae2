"""`slm import`: recorded calls into the log, with every bad line named."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from slm_pipeline.s1_collect import importers
from slm_pipeline.s1_collect.call_log import Appended, CallLog
from slm_pipeline.s1_collect.roles import Role
from slm_pipeline.settings import Settings

BAD_LINES_SHOWN = 20


def import_file(source: Path | str, settings: Settings, console: Console) -> tuple[Appended, int]:
    """Append the calls of a file, a folder or an MLflow server (its URL) to the log and print what happened.

    Returns what the log did and the number of bad lines. Raises OSError (ConnectionError is one) if the source cannot be read at all,
    ValueError if an MLflow server has no such experiment; what was read before is in the log.
    """
    bad, name = 0, str(source) if importers.is_url(source) else Path(source).name

    def report(line: importers.BadLine) -> None:
        nonlocal bad
        bad += 1
        if bad <= BAD_LINES_SHOWN:
            where = f"{name}/{line.file}" if line.file else name
            console.print(f"{where}:{line.line}: {line.reason}", style="red", highlight=False, markup=False, soft_wrap=True)

    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True) as progress:
        progress.add_task(f"reading {escape(name)}")
        appended = importers.import_file(source, CallLog(settings, Role.COLLECTOR), report)
    if bad > BAD_LINES_SHOWN:
        console.print(f"... and {bad - BAD_LINES_SHOWN:,} more bad lines")
    counts = f"{appended.added:,} added, {appended.repeated:,} known already, {bad:,} bad"
    console.print(f"{name}: {counts}", highlight=False, markup=False, soft_wrap=True)
    return appended, bad
