"""Licence cleanliness: may this base be trained on the answers of these teachers?"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.repeats import CURATED
from slm_pipeline.s4_select.catalogue import CatalogueEntry
from slm_pipeline.settings import Settings

LICENCES = Path(__file__).with_name("licences.yaml")
Level = Literal["allow", "warn", "refuse"]


class LicenceError(ValueError):
    """licences.yaml cannot be used; says file and field."""


class Terms(BaseModel):
    """What one teacher's terms, or one licence of bases, say about training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    models: tuple[str, ...] = Field(min_length=1)
    verdict: Level
    terms: str
    except_bases: tuple[str, ...] = ()
    source: str | None = Field(None, pattern=r"^https://")
    date: date

    def covers(self, name: str) -> bool:
        return any(fnmatch(name.lower(), pattern.lower()) for pattern in self.models)


class Licences(BaseModel):
    """licences.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    teachers: tuple[Terms, ...] = ()
    bases: tuple[Terms, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """`level`: the strictest of all; `reasons`: a sentence for every teacher and licence that is not simply allowed."""

    level: Level
    reasons: tuple[str, ...]
    teachers: dict[str, int]

    @property
    def allowed(self) -> bool:
        return self.level != "refuse"

    def json(self) -> Json:
        return asdict(self) | {"reasons": list(self.reasons)}


def training_allowed(base: CatalogueEntry, teachers: Mapping[str, int], settings: Settings) -> Verdict:
    """Whether `base` may be trained on targets of `teachers` (calls by model name, or gold, correction), and what to heed.

    Entries of licences.yaml that `settings.teacher_terms_accepted` names do not refuse or warn. Raises LicenceError.
    """
    licences = read_licences(settings)
    levels, reasons = ["allow"], []
    if not base.open:
        terms = _matching(licences.bases, base.licence or "")
        levels.append(terms.verdict if settings.restricted_licences else "refuse")
        asked = "" if settings.restricted_licences else " settings.restricted_licences must allow it."
        reasons.append(f"{base.name} ({base.licence or 'licence not confirmed'}): {terms.terms}{asked} [{base.source_of('licence')}]")
    for teacher, calls in sorted(teachers.items()):
        terms = _matching(licences.teachers, teacher)
        excepted = any(fnmatch(base.name.lower(), pattern.lower()) for pattern in terms.except_bases)
        if terms.verdict == "allow" or excepted or terms.name in settings.teacher_terms_accepted:
            continue
        levels.append(terms.verdict)
        mend = f" An operator who has checked them adds {terms.name!r} to settings.teacher_terms_accepted."
        read = ", ".join(str(part) for part in (terms.source, terms.date) if part)
        reasons.append(f"{teacher} ({calls:,} answers): {terms.terms} [{read}]{mend}")
    strictest = max(levels, key=("allow", "warn", "refuse").index)
    return Verdict(strictest, tuple(reasons), dict(teachers))


def teachers_of(examples: pd.DataFrame, lake: Lake) -> Counter[str]:
    """Whose answers a group's examples aim at (columns id, day, target_source): the model that a call asked for, or gold, correction."""
    teachers = Counter(examples.loc[examples["target_source"] != "teacher", "target_source"])
    taught = examples[examples["target_source"] == "teacher"]
    for day, of_day in taught.groupby("day"):
        calls = lake.read(CURATED, day).table("calls", columns=["id", "request"])
        requests = calls.loc[calls["id"].isin(set(of_day["id"])), "request"]
        teachers.update(json.loads(request).get("model") or "unknown" for request in requests)
    return teachers


def read_licences(settings: Settings) -> Licences:
    """The shipped terms, and before them those of `<home>/models/licences.yaml`. Raises LicenceError."""
    files = [file for file in (settings.models / LICENCES.name, LICENCES) if file.exists()]
    read = [_read(file) for file in files]
    return Licences(teachers=[t for r in read for t in r.teachers], bases=[b for r in read for b in r.bases])


def _matching(terms: tuple[Terms, ...], name: str) -> Terms:
    return next(one for one in terms if one.covers(name))


def _read(file: Path) -> Licences:
    try:
        return Licences.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except yaml.YAMLError as error:
        raise LicenceError(f"{file}: not YAML: {error}") from error
    except ValidationError as error:
        said = [f"{file}: {'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors()]
        raise LicenceError("\n".join(said)) from None
