"""`slm export`: a group's adapter in the form that others run."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from slm_pipeline.settings import get_settings
from slm_pipeline.terminal import terminal

console = terminal()
errors = terminal(stderr=True)


def export(
    group: Annotated[str, typer.Argument(help="whose adapter; `slm status` lists groups")],
    to: Annotated[Literal["peft", "merged", "gguf", "ollama", "vllm"], typer.Option(help="the form it is written in")],
    out: Annotated[Path, typer.Option(help="a new folder, or one that an earlier export wrote")],
    version: Annotated[str | None, typer.Option(help="a version of the group's adapter; without it the champion")] = None,
    quantisation: Annotated[
        Literal["f16", "q8_0", "q4_k_m"] | None,
        typer.Option(help="of GGUF models; without it gguf writes all, ollama that of the settings"),
    ] = None,
) -> None:
    """Write a group's adapter for PEFT, transformers, llama.cpp, Ollama or vLLM; load it back, compare it, and describe it."""
    from slm_pipeline.packages import FetchError
    from slm_pipeline.s4_select.catalogue import CatalogueError
    from slm_pipeline.s4_select.licences import LicenceError
    from slm_pipeline.s5_finetune.attempt import LicenceRefused
    from slm_pipeline.s5_finetune.export.compare import ComparisonFailed
    from slm_pipeline.s5_finetune.export.export import NotOurs
    from slm_pipeline.s5_finetune.export.export import export as write
    from slm_pipeline.s5_finetune.export.layout import NotExportable

    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    try:
        record = write(group, to, out, get_settings(), version, quantisation, say)
    except LookupError as error:
        _fail(str(error.args[0]))
    except (CatalogueError, ComparisonFailed, FetchError, LicenceError, LicenceRefused, NotExportable, NotOurs) as error:
        _fail(str(error))
    for compared in record["compared"]:
        say(f"{compared['form']}: {compared['measure']} {compared['value']:.3g} over {compared['n']} validation prompts")
    say(f"Version {record['version']} of {group} is in {out}; its card is README.md there.")


def _fail(message: str) -> None:
    errors.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise typer.Exit(1)
