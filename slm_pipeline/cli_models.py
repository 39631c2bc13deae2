"""`slm models` and `slm device`: which bases there are, why each one passes or fails, and what this machine can do."""

from contextlib import contextmanager
from typing import Annotated

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

console = terminal()
errors = terminal(stderr=True)


def models(
    name: Annotated[str | None, typer.Argument(help="show this one, with the source of every field")] = None,
    group: Annotated[str | None, typer.Option(help="judge for this group's own prompts and answers")] = None,
    on: Annotated[str | None, typer.Option(help="judge for this device instead of settings.device")] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="bring the weights of NAME onto this machine")] = False,
    json: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """List the base models, and why each one passes or fails; or show one."""
    from slm_pipeline.models import candidate_rows, entry_rows, print_candidates, print_entry

    with _told():
        settings = get_settings()
        if fetch:
            _fetch(name, settings)
        rows = entry_rows(name, settings) if name else candidate_rows(settings, group, on)
    if json:
        from json import dumps

        typer.echo(dumps(rows))
    elif name:
        print_entry(rows, console)
    else:
        print_candidates(rows, settings, group, on, console)


def device(json: Annotated[bool, typer.Option("--json", help="as JSON")] = False) -> None:
    """Measure this machine, and compare predicted with measured memory and latency of a base; takes a minute or two."""
    from slm_pipeline.models import measured_device, print_device

    with _told():
        measured = measured_device(get_settings())
    if json:
        from json import dumps

        typer.echo(dumps(measured))
    else:
        print_device(measured, console)


def _fetch(name: str | None, settings) -> None:
    from slm_pipeline.s4_select.base_models import ensure_base

    if name is None:
        raise LookupError("Say which model: `slm models NAME --fetch`.")
    ensure_base(name, settings)


@contextmanager
def _told():
    """What cannot be done, as a sentence instead of a traceback."""
    from slm_pipeline.packages import FetchError
    from slm_pipeline.s4_select.catalogue import CatalogueError
    from slm_pipeline.s4_select.device import DeviceError

    try:
        yield
    except (LookupError, CatalogueError, DeviceError, FetchError) as error:
        message = error.args[0] if isinstance(error, LookupError) and error.args else str(error)
        errors.print(str(message), style="red", highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(1) from None
