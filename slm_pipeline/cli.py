"""The `slm` command. Every command imports what it needs itself, so that `slm --help` is instant."""

from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from slm_pipeline.cli_export import export
from slm_pipeline.cli_models import device, models
from slm_pipeline.cli_release import app as release_app
from slm_pipeline.cli_tasks import app as tasks_app
from slm_pipeline.cli_tune import tune
from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = terminal()
errors = terminal(stderr=True)
keys_app = typer.Typer(no_args_is_help=True, help="Keys: the master key of the log, and API keys of the gateway's clients.")
audit_app = typer.Typer(no_args_is_help=True, help="The audit trail of the log.")
app.add_typer(keys_app, name="keys")
app.add_typer(audit_app, name="audit")
app.add_typer(tasks_app, name="tasks")
app.add_typer(release_app, name="release")
app.command()(models)
app.command()(device)
app.command()(export)
app.command()(tune)

LogFile = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Source = Annotated[str, typer.Argument(help="a file, a folder, or the URL of an MLflow server (?experiment=NAME)")]


@app.callback()
def main() -> None:
    """Replace an agent's LLM calls by small language models fine-tuned on its own traffic."""


@app.command()
def run() -> None:
    """Run the whole loop once, from the log to the scoreboard. What is unchanged is skipped."""
    from slm_pipeline.run import StageFailed, run_loop

    with _log_errors(ValueError, StageFailed):
        run_loop(get_settings(), console)


@app.command()
def up() -> None:
    """Start the gateway, Dagster's web UI and daemon, and the MLflow server; Ctrl-C stops them together."""
    from slm_pipeline.up import ServiceError, up

    try:
        up(get_settings(), console)
    except ServiceError as error:
        _fail(str(error))


@app.command()
def serve() -> None:
    """Start the gateway: point an agent's base_url at it, and its calls are passed on and logged."""
    from slm_pipeline.gateway.server import OpenToTheNetwork, serve

    settings = get_settings()
    console.print(f"Gateway    {settings.gateway_url}/v1\nDashboard  {settings.gateway_url}/dashboard", highlight=False)
    with _log_errors(OpenToTheNetwork):
        serve(settings)


@app.command("import")
def import_(source: Source) -> None:
    """Add recorded calls to the log: of a file in any known form, of a folder, or of an MLflow server; repeating it adds nothing."""
    _import(source)


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

    with _log_errors(FileNotFoundError), Progress(console=console) as progress:
        summary = replay_file(file, get_settings(), progress)
    console.print(str(summary), highlight=False, markup=False)


@app.command()
def status() -> None:
    """Print the scoreboard, the champions and what is running."""
    from slm_pipeline.status import print_status

    with _log_errors():
        print_status(get_settings(), console)


@app.command()
def report() -> None:
    """Print how much of the traffic SLMs can take, and what they have served and saved, with intervals."""
    from rich.markdown import Markdown

    from slm_pipeline.lake import Lake

    lake = Lake(get_settings().lake)
    written = {name: lake.read(f"s6_refine/{name}") for name in ("replaceability", "savings")}
    if not any(written.values()):
        _fail("There is no report yet: `slm run` makes one.")
    for name, artefact in written.items():
        if artefact:
            console.print(Markdown(f"# {name.capitalize()}\n\n{artefact.bytes(f'{name}.md').decode()}"))


@app.command()
def erase(
    client: Annotated[str | None, typer.Option(help="erase this client: its calls, its keys, and what was made of them")] = None,
    older_than: Annotated[int | None, typer.Option(min=1, help="delete calls older than this many days from the log")] = None,
) -> None:
    """Erase one client, or old calls."""
    from slm_pipeline.erase import RunsGoOn, erase
    from slm_pipeline.s1_collect.erasure import delete_older_than

    if (client is None) == (older_than is None):
        _fail("Say either --client ID or --older-than DAYS.")
    with _log_errors(RunsGoOn, TimeoutError):
        if older_than is not None:
            console.print(f"{delete_older_than(older_than, get_settings()):,} calls deleted from the log.")
            return
        erased = erase(client, get_settings(), console)
    if not erased.logged and not erased.curated:
        _fail(f"There is no client {client!r} in the log or in the curated data.")
    console.print(f"{erased.logged:,} calls erased from the log, {erased.curated:,} from the curated data.", highlight=False)
    if erased.groups:
        console.print(f"To be trained again, by `slm up` or the next `slm run`: {', '.join(erased.groups)}", highlight=False)


@keys_app.command("rotate")
def rotate() -> None:
    """Change the log's master key; contents are not rewritten. A running gateway goes on."""
    from slm_pipeline.s1_collect.erasure import rotate_master_key

    with _log_errors():
        database = _admin()
        rotate_master_key(database)
    if get_settings().master_key:
        console.print("Rotated. From now on give the new key as SLM_MASTER_KEY, and restart the gateway with it.")
    else:
        console.print(f"Rotated. Back up the new key now: {database.master.file}", highlight=False, soft_wrap=True)


@keys_app.command("add")
def add_key(
    client: Annotated[str, typer.Argument(help="whom calls with this key belong to")],
    role: Annotated[str, typer.Option(help="agent, monitor or admin")] = "agent",
    agent: Annotated[str | None, typer.Option(help="the agent's name, unless it sends x-slm-agent")] = None,
    tokens_per_day: Annotated[int | None, typer.Option(min=1, help="budget")] = None,
) -> None:
    """Make an API key for a client of the gateway, and print it once."""
    from slm_pipeline.s1_collect import api_keys

    if role not in list(api_keys.KeyRole):
        _fail(f"There is no role {role!r}; there are: {', '.join(api_keys.KeyRole)}")
    with _log_errors():
        typer.echo(api_keys.add(_admin(), client, api_keys.KeyRole(role), agent, tokens_per_day))


@keys_app.command("list")
def list_keys() -> None:
    """List the API keys: client, role, budget, last characters."""
    from rich.table import Table

    from slm_pipeline.s1_collect import api_keys

    with _log_errors():
        keys = api_keys.listed(_admin())
    table = Table("Client", "Agent", "Role", "Tokens a day", "Ends with")
    for key in keys:
        table.add_row(key.client_id, key.agent or "", key.role, f"{key.tokens_per_day:,}" if key.tokens_per_day else "any", key.shown)
    console.print(table if keys else "There are no API keys: the gateway serves this machine only, without asking.")


@keys_app.command("remove")
def remove_key(shown: Annotated[str, typer.Argument(help="the key, or its last characters as `slm keys list` shows them")]) -> None:
    """Remove an API key; a running gateway refuses it within seconds."""
    from slm_pipeline.s1_collect import api_keys

    with _log_errors():
        removed = api_keys.remove(_admin(), shown)
    if not removed:
        _fail("No API key ends like this; `slm keys list` shows them.")
    console.print(f"{removed} API key removed." if removed == 1 else f"{removed} API keys removed.")


@audit_app.command("verify")
def verify_trail(head: Annotated[str | None, typer.Option(help="a head noted earlier: it must still be in the trail")] = None) -> None:
    """Check that no entry of the audit trail was changed or taken away; prints its head, to be noted elsewhere."""
    from slm_pipeline.s1_collect.audit import Tampered

    with _log_errors(Tampered):
        entries, newest = _database("auditor").verify_trail(head)
    console.print(f"{entries:,} entries, unchanged. Head: {newest}", highlight=False, soft_wrap=True)


@audit_app.command("show")
def show_trail() -> None:
    """Print the audit trail, oldest entry first."""
    from datetime import UTC, datetime

    with _log_errors():
        for entry in _database("auditor").trail():
            detail = " ".join(f"{key}={value}" for key, value in entry.detail.items())
            typer.echo(f"{datetime.fromtimestamp(entry.at, UTC):%Y-%m-%d %H:%M:%S} {entry.role:<9} {entry.action}  {detail}".rstrip())


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


@contextmanager
def _log_errors(*more: type[Exception]):
    """What can be wrong with the log, as a sentence instead of a traceback."""
    from slm_pipeline.s1_collect.database import LogUnavailable
    from slm_pipeline.s1_collect.master_key import MasterKeyError

    try:
        yield
    except (LogUnavailable, MasterKeyError, *more) as error:
        _fail(str(error))


def _database(role: str):
    from slm_pipeline.s1_collect.database import Database
    from slm_pipeline.s1_collect.roles import Role

    return Database(get_settings(), Role(role))


def _admin():
    return _database("admin")


def _import(source: Path | str) -> None:
    from slm_pipeline.imports import import_file

    with _log_errors(OSError, ValueError):  # no such file, server or experiment
        appended, bad = import_file(source, get_settings(), console)
    if bad:
        _fail(f"{bad:,} records could not be read, or are calls without an answer; every other one is in the log.")
    if not appended.added + appended.repeated:
        _fail(f"{source} has no calls.")


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
