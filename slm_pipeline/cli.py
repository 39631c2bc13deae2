"""The `slm` command. Every command imports what it needs itself, so that `slm --help` is instant."""

from pathlib import Path
from typing import Annotated

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = terminal()
errors = terminal(stderr=True)

LogFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


@app.callback()
def main() -> None:
    """Replace an agent's LLM calls by small language models fine-tuned on its own traffic."""


@app.command()
def run() -> None:
    """Run the whole loop once, from the log to the scoreboard. What is unchanged is skipped."""
    from slm_pipeline.run import StageFailed, run_loop

    try:
        run_loop(get_settings(), console)
    except (ValueError, StageFailed) as error:
        _fail(str(error))


@app.command()
def up() -> None:
    """Start Dagster's web UI and daemon and the MLflow server; Ctrl-C stops them together."""
    from slm_pipeline.up import ServiceError, up

    try:
        up(get_settings(), console)
    except ServiceError as error:
        _fail(str(error))


@app.command("import")
def import_(file: LogFile) -> None:
    """Add the calls of a JSONL file (gzipped or not) to the log; repeating it adds nothing."""
    _import(file)


@app.command()
def sample() -> None:
    """Add the sample traffic to the log: real user questions to an agent with tools."""
    from slm_pipeline.s1_collect.sample import sample_traffic

    try:
        file = sample_traffic(get_settings())
    except RuntimeError as error:  # no network, or a checksum that does not match
        _fail(str(error))
    _import(file)


@app.command()
def replay(file: LogFile) -> None:
    """Ask the champions the calls of a file again; log those whose answer disagrees with the recorded one as failures."""
    from rich.progress import Progress

    from slm_pipeline.s6_refine.replay import replay_file

    try:
        with Progress(console=console) as progress:
            summary = replay_file(file, get_settings(), progress)
    except FileNotFoundError as error:
        _fail(str(error))
    console.print(str(summary), highlight=False, markup=False)


@app.command()
def status() -> None:
    """Print the scoreboard, the champions and what is running."""
    from slm_pipeline.status import print_status

    print_status(get_settings(), console)


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="loop, train, ...: a module of slm_pipeline.bench")],
    data: Annotated[Path | None, typer.Option(exists=True, help="file or folder to measure on")] = None,
    json: Annotated[Path | None, typer.Option(help="also write the result to this file")] = None,
) -> None:
    """Measure, and print one flat JSON object."""
    from importlib import import_module
    from json import dumps

    names = sorted(file.stem for file in (Path(__file__).parent / "bench").glob("*.py") if not file.stem.startswith("_"))
    if name not in names:
        _fail(f"There is no bench {name!r}; there are: {', '.join(names)}")
    result = dumps(import_module(f"slm_pipeline.bench.{name}").measure(get_settings(), data))
    typer.echo(result)
    if json:
        json.write_text(result + "\n")


def _import(file: Path) -> None:
    from slm_pipeline.imports import import_file

    appended, bad = import_file(file, get_settings(), console)
    if bad:
        _fail(f"{bad:,} lines could not be read; every other line is in the log. Mend them and import the file again.")
    if not appended.added + appended.repeated:
        _fail(f"{file} has no calls.")


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
