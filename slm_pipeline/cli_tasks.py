"""`slm tasks ...`: lists the tasks, shows one, and takes down what a person decides about them."""

from contextlib import contextmanager
from typing import Annotated

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

app = typer.Typer(help="The tasks that the agents' calls fall into, and what you decide about them.")
console = terminal()
errors = terminal(stderr=True)

Key = Annotated[str, typer.Argument(help="the task's key, as `slm tasks` shows it")]


@app.callback(invoke_without_command=True)
def list_tasks(context: typer.Context, json: Annotated[bool, typer.Option("--json", help="as a JSON list")] = False) -> None:
    """List the tasks: name, key, shares of calls and tokens, cost, actions, growth by day, state; and your decisions."""
    if context.invoked_subcommand:
        return
    from slm_pipeline.s3_cluster.traffic import read_traffic
    from slm_pipeline.s5_finetune.small_tasks import with_verdicts
    from slm_pipeline.tasks import print_decisions, print_tasks, read_clusters, read_decisions, task_rows

    with _told():
        lake = _lake()
        clusters = read_clusters(lake)
        rows = with_verdicts(task_rows(clusters, read_traffic(lake)), lake)
    if json:
        from json import dumps

        typer.echo(dumps(rows))
        return
    print_tasks(rows, console)
    print_decisions(read_decisions(lake), clusters, console)


@app.command()
def show(key: Key) -> None:
    """Show one task: template, actions, why it is trained or not, and redacted examples."""
    from slm_pipeline.tasks import print_task

    with _told():
        print_task(key, _lake(), console)


@app.command()
def rename(key: Key, name: str) -> None:
    """Give a task another name; its key stays."""
    _take("rename", key, name=name)


@app.command()
def pin(key: Key) -> None:
    """Keep a task as it is: finding tasks anew never retires, merges or splits it."""
    _take("pin", key)


@app.command()
def unpin(key: Key) -> None:
    """Take a pin back."""
    _take_back("pin", key)


@app.command()
def exclude(key: Key) -> None:
    """Leave a task's calls to the LLM: nothing is trained on them."""
    _take("exclude", key)


@app.command()
def include(key: Key) -> None:
    """Take an exclusion back."""
    _take_back("exclude", key)


@app.command()
def split(key: Key, says: Annotated[str | None, typer.Option(help="cut by whether the prompt says this")] = None) -> None:
    """Cut a task in two: first and later calls of a conversation, or calls whose prompt says something and the others."""
    from slm_pipeline.s3_cluster.decisions import conditions

    _take("split", key, when=conditions(says))


@app.command()
def merge(key: Key, others: Annotated[list[str], typer.Argument(help="keys of the tasks that become part of it")]) -> None:
    """Make one task of several; it keeps the first one's key and name."""
    _take("merge", key, others=others)


@app.command()
def undo(number: Annotated[int, typer.Argument(help="of the decision, as `slm tasks` shows it")]) -> None:
    """Take a decision back."""
    from slm_pipeline.s3_cluster.decisions import read_decisions, undo
    from slm_pipeline.tasks import NEXT, store

    with _told():
        lake = _lake()
        store(undo(read_decisions(lake), number), lake)
    console.print(f"Decision {number} is taken back. {NEXT}", highlight=False, soft_wrap=True)


def _take(what: str, key: str, **more) -> None:
    from slm_pipeline.tasks import take

    with _told():
        told = take(what, key, _lake(), **more)
    console.print(told, highlight=False, markup=False, soft_wrap=True)


def _take_back(what: str, key: str) -> None:
    from slm_pipeline.s3_cluster.decisions import read_decisions, undo_what
    from slm_pipeline.tasks import NEXT, store

    with _told():
        lake = _lake()
        store(undo_what(read_decisions(lake), what, key), lake)
    console.print(f"Taken back. {NEXT}", highlight=False, soft_wrap=True)


def _lake():
    from slm_pipeline.lake import Lake

    return Lake(get_settings().lake)


@contextmanager
def _told():
    """What cannot be done, as a sentence instead of a traceback."""
    from slm_pipeline.s3_cluster.decisions import DecisionError
    from slm_pipeline.tasks import NoTasks

    try:
        yield
    except (DecisionError, NoTasks) as error:
        errors.print(str(error), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
