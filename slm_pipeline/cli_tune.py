"""`slm tune`: search for a better training configuration of a group."""

from typing import Annotated

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

console = terminal()
errors = terminal(stderr=True)


def tune(
    group: Annotated[str, typer.Argument(help="the group's key, as `slm status` shows it")],
    budget: Annotated[str, typer.Option(help="wall time: 90s, 15m, 1h")] = "15m",
    json: Annotated[bool, typer.Option("--json", help="print the result as JSON")] = False,
) -> None:
    """Search for a better training configuration of a group, which the next run trains with. Ctrl-C keeps what was found."""
    from slm_pipeline.s5_finetune.tune import BudgetError, NothingToTune, parse_budget, tune

    progress = errors if json else console
    try:
        found = tune(group, get_settings(), parse_budget(budget), lambda row: progress.print(_line(row), highlight=False))
    except (BudgetError, NothingToTune) as error:
        _fail(str(error))
    if found["best"] is None:
        _fail(f"The budget of {budget} ended before the first training did: nothing is kept. Give it more time.")
    if json:
        from json import dumps

        typer.echo(dumps(found))
        return
    _print_table(found)


def _line(row: dict) -> str:
    loss = "no epoch ended" if row["val_loss"] is None else f"validation loss {row['val_loss']:.4f}"
    return f"trial {row['trial']:<3} {row['state']:<11} {loss}  {_settings(row)}  {row['seconds']:.0f} s"


def _settings(row: dict) -> str:
    layers, rate = f"layers {row['upper_layers']:.0%}", f"rate {row['learning_rate']:.2g}"
    return f"rank {row['rank']}, {layers}, {rate}, epochs {row['epochs']}, {row['prompt']} prompt"


def _print_table(found: dict) -> None:
    from rich.table import Column, Table

    right = [Column(head, justify="right") for head in ("Trial", "Validation loss", "Rank", "Upper layers", "Learning rate", "Epochs")]
    table = Table(*right, "Prompt", Column("Seconds", justify="right"), "State")
    for row in sorted(found["trials"], key=lambda row: (row["state"] != "complete", row["val_loss"] is None, row["val_loss"])):
        loss = "" if row["val_loss"] is None else f"{row['val_loss']:.4f}"
        numbers = [str(row["rank"]), f"{row['upper_layers']:.0%}", f"{row['learning_rate']:.2g}", str(row["epochs"])]
        seconds = "" if row["seconds"] is None else f"{row['seconds']:.0f}"
        table.add_row(str(row["trial"]), loss, *numbers, row["prompt"], seconds, row["state"])
    console.print(table)
    today, best = found["today"], found["best"]
    if today and best["trial"] != today["trial"]:
        console.print(f"Validation loss {today['val_loss']:.4f} as trained today, {best['val_loss']:.4f} at best.", highlight=False)
    told = f"Kept for {found['group']}: {_settings(best)}. The next `slm run` trains with it."
    console.print(told if found["kept"] else "Nothing beats what the settings say: they stay.", highlight=False, soft_wrap=True)
    console.print(f"Compared in MLflow, while `slm up` runs: {found['charts']}", highlight=False, soft_wrap=True)


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)
