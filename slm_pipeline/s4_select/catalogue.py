"""The catalogue of base models that a group's adapter could be trained on."""

from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from slm_pipeline.s4_select.footprint import Model
from slm_pipeline.s4_select.shape import Architecture, Shape, facts_of
from slm_pipeline.settings import Settings
from slm_pipeline.yaml_rows import read_rows

CATALOGUE = Path(__file__).with_name("catalogue.yaml")


class CatalogueError(ValueError):
    """A catalogue entry cannot be used; says file, entry, field and what is wrong."""


class CatalogueEntry(BaseModel):
    """One candidate base model. None is a fact that could not be confirmed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    hub_id: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    path: Path | None = Field(None, description="a folder in Hugging Face form, or a GGUF file, on this machine")
    package: str | None = Field(None, description="registry package that carries the weights, name==version")
    params: int = Field(gt=0)
    active_params: int | None = Field(None, gt=0, description="weights that one token passes through; None: all")
    architecture: Architecture
    shape: Shape | None = Field(None, description="layers and widths, from which memory and latency follow")
    context: int | None = Field(None, gt=0, description="tokens")
    licence: str | None = None
    open: bool = Field(False, description="the licence is an OSI-approved one")
    chat_template: bool = Field(description="whether the base comes with a chat template")
    template: str | None = Field(None, description="file of s4_select/chat_templates for a base that has none of its own")
    tool_calls: str | None = Field(None, description="how its own template writes tool calls")
    languages: tuple[str, ...] | None = Field(None, description="ISO 639-1")
    benchmarks: dict[str, float] = Field({}, description="published scores, as the source gives them")
    lora_exclude: tuple[str, ...] = Field((), description="linear modules that LoRA leaves out")
    refused: str | None = Field(None, description="why the product cannot run this model")
    note: str = ""
    source: str = Field(description="where every fact is from that `sources` does not name")
    sources: dict[str, str] = Field({}, description="by field, where a fact is from")

    @model_validator(mode="after")
    def _consistent(self) -> "CatalogueEntry":
        if unknown := sorted(set(self.sources) - set(type(self).model_fields)):
            raise ValueError(f"sources names no field of an entry: {', '.join(unknown)}")
        if not (self.hub_id or self.path or self.refused):
            raise ValueError("give hub_id or path")
        if self.shape and self.shape.architecture != self.architecture:
            raise ValueError(f"architecture is {self.architecture}, its shape that of a {self.shape.architecture}")
        if not self.path and (bad := [url for url in (self.source, *self.sources.values()) if not url.startswith("https://")]):
            raise ValueError(f"a source is a URL with https: {bad[0]}")
        return self

    def source_of(self, field: str) -> str:
        """Where the value of a field is from."""
        return self.sources.get(field, self.source)

    @property
    def model(self) -> Model | None:
        """What memory and latency are computed from; None if the shape could not be confirmed."""
        return Model(self.params, self.shape, self.active_params or self.params) if self.shape else None


def load_catalogue(settings: Settings | None = None) -> list[CatalogueEntry]:
    """Every entry, sorted by parameters and name; `<home>/models/catalogue.yaml` adds entries, or replaces those of its names.

    An entry with `path` needs no numbers: they are read from the folder or file. Raises CatalogueError for an entry that is malformed.
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
    return read_rows(file, CatalogueEntry, CatalogueError, complete=partial(_with_facts, file))


def _with_facts(file: Path, given: object) -> object:
    """The entry, and what the folder or file that it names says of itself; what the entry says wins."""
    if not isinstance(given, dict) or not given.get("path"):
        return given
    path = Path(given["path"]).expanduser()
    path = path if path.is_absolute() else file.parent / path
    if not path.exists():
        raise CatalogueError(f"{file}: row {given.get('name')}, field path: there is no {path}")
    try:
        facts = facts_of(path)
    except (ValueError, KeyError) as error:
        raise CatalogueError(f"{file}: row {given.get('name')}, field path: {error}") from error
    shape = facts.shape
    read = {"params": facts.params, "architecture": shape.architecture, "shape": shape, "context": facts.context}
    read |= {"chat_template": facts.chat_template, "source": str(path)}
    return {**read, **given, "path": path}
