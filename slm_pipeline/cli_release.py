"""`slm release`: what the gateway serves, and what it is promised to do."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

app = typer.Typer(no_args_is_help=True, help="Releases: what the gateway serves, and how it comes into service.")
console = terminal()
errors = terminal(stderr=True)
Name = Annotated[str, typer.Argument(help="a release, as `slm release list` shows it; its first letters are enough")]


@app.command("list")
def list_() -> None:
    """What serves, what is on trial, and what happened."""
    from slm_pipeline.s6_refine.release import RELEASE, told
    from slm_pipeline.s6_refine.rollout import read_rollout

    lake = _lake()
    rollout = read_rollout(lake)
    if not rollout.history:
        console.print("No release was made yet: `slm run` makes one as soon as a group has a champion.")
        return
    serving = rollout.serving or "none: the LLM answers everything"
    console.print(f"[bold]serving[/]   {serving}", highlight=False)
    console.print(f"[bold]on trial[/]  {rollout.candidate or 'none'}{f', as {rollout.stage}' if rollout.stage else ''}", highlight=False)
    for name in filter(None, (rollout.serving, rollout.candidate)):
        if written := lake.version(RELEASE, None, name):
            for line in told(written.json("release")):
                console.print(f"  {name[:8]}  {line}", highlight=False, soft_wrap=True)
    for group, reason in rollout.withdrawn.items():
        console.print(f"[red]withdrawn[/] {group}: {reason}; the LLM answers its calls", highlight=False, soft_wrap=True)
    for said in rollout.history:
        at = datetime.fromtimestamp(said["at"], UTC).isoformat(timespec="seconds")
        reason = f": {said['reason']}" if said["reason"] else ""
        console.print(f"[dim]{at}[/]  {said['release']}  {said['what']}{reason}", highlight=False, soft_wrap=True)


@app.command()
def promote() -> None:
    """Bring the release on trial one stage further: from shadow to canary, from canary to full service."""
    from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout

    _change(lambda lake: write_rollout(lake, read_rollout(lake).promoted("by hand")))


@app.command()
def rollback(reason: Annotated[str, typer.Option(help="why; it is shown in the history")] = "by hand") -> None:
    """Away with the release on trial; without one, the release before the one that serves comes back."""
    from slm_pipeline.s6_refine.rollout import read_rollout, write_rollout

    _change(lambda lake: write_rollout(lake, read_rollout(lake).rolled_back(reason)))


@app.command()
def diff(one: Name, other: Name) -> None:
    """What differs between two releases: groups, adapters and promises."""
    from slm_pipeline.s6_refine.release import differences

    releases = [_release(name) for name in (one, other)]
    for line in differences(*releases) or ["They promise and serve the same."]:
        console.print(line, highlight=False, soft_wrap=True)


def _lake():
    from slm_pipeline.lake import Lake

    return Lake(get_settings().lake)


def _release(name: str) -> dict:
    from slm_pipeline.s6_refine.release import RELEASE, release_names

    lake = _lake()
    found = [known for known in release_names(lake) if known.startswith(name)]
    if len(found) != 1:
        _fail(f"{len(found)} releases begin with {name!r}; `slm release list` shows their names.")
    return lake.version(RELEASE, None, found[0]).json("release")


def _change(change) -> None:
    try:
        change(_lake())
    except ValueError as error:
        _fail(str(error))
    list_()


def _fail(message: str) -> None:
    errors.print(f"[red]{message}[/]", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
