"""The catalogue of base models that a group's adapter could be trained on."""

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from slm_pipeline.settings import Settings

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


class CatalogueError(ValueError):
    """A catalogue entry cannot be used; says file, entry, field and what is wrong."""


class CatalogueEntry(BaseModel):
    """One candidate base model. None is a fact that could not be confirmed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    hub_id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    package: str | None = Field(None, description="registry package that carries the weights, name==version")
    params: int = Field(gt=0)
    architecture: Literal["transformer", "state-space", "hybrid"]
    context: int | None = Field(None, gt=0, description="tokens")
    licence: str | None = None
    open: bool = Field(description="the licence is an OSI-approved one")
    chat_template: bool
    lora_exclude: tuple[str, ...] = Field((), description="linear modules that LoRA leaves out")
    refused: str | None = Field(None, description="why the product cannot run this model")
    note: str = ""
    source: str = Field(pattern=r"^https://", description="where the facts are from")


def load_catalogue(settings: Settings | None = None) -> list[CatalogueEntry]:
    """Every entry, sorted by parameters and name; `<home>/models/catalogue.yaml` adds entries, or replaces those of its names.

    Raises CatalogueError for an entry that is malformed.
    """
    entries = {e.name: e for e in _read(CATALOGUE)}
    own = settings.models / CATALOGUE.name if settings else None
    if own and own.exists():
        entries |= {e.name: e for e in _read(own)}
    return sorted(entries.values(), key=lambda e: (e.params, e.name))


def entry(name: str, settings: Settings | None = None) -> CatalogueEntry:
    """The entry of that name; raises LookupError with the names there are."""
    entries = {e.name: e for e in load_catalogue(settings)}
    if name not in entries:
        raise LookupError(f"no base model {name!r} in the catalogue; there are {', '.join(sorted(entries))}")
    return entries[name]


def _read(file: Path) -> list[CatalogueEntry]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise CatalogueError(f"{file}: not YAML: {error}") from error
    try:
        entries = TypeAdapter(list[CatalogueEntry]).validate_python(content)
    except ValidationError as error:
        raise CatalogueError("\n".join(f"{file}: {_explain(problem, content)}" for problem in error.errors())) from None
    names = [e.name for e in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CatalogueError(f"{file}: entry {', '.join(twice)} is there more than once: keep one")
    return entries


def _explain(problem: dict, content: object) -> str:
    if not problem["loc"]:
        return "must be a list of entries, each beginning with `- name:`"
    number, *field = problem["loc"]
    given = content[number]
    name = given.get("name") if isinstance(given, dict) else None
    return f"entry {number + 1} ({name or 'without name'}), field {'.'.join(map(str, field)) or '-'}: {problem['msg']}"
