"""What LLMs cost: a dated table that a user adds to."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from slm_pipeline.settings import Settings
from slm_pipeline.yaml_rows import read_rows

PRICES = Path(__file__).with_name("prices.yaml")
MILLION = 1_000_000
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_LAST = 253_402_300_799  # the last second that a calendar knows


class PriceError(ValueError):
    """A table of prices cannot be used; says file, row and field."""


class Price(BaseModel):
    """US dollars for a MILLION tokens that are read (input) and written (output), from the day `since` on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    input: float = Field(ge=0)
    output: float = Field(ge=0)
    since: date
    source: str = Field(min_length=1)


Prices = Mapping[str, Sequence[Price]]
"""By model, oldest first."""


def read_prices(settings: Settings) -> Prices:
    """The shipped table; `<home>/prices.yaml` adds models, and its rows of a model replace the shipped ones. Raises PriceError."""
    own = settings.home / PRICES.name
    return _read(PRICES) | (_read(own) if own.exists() else {})


def price_of(model: str, timestamp: float, prices: Prices) -> Price | None:
    """The price of a model, named with its date or without, at a time (unix seconds); None if the table does not say."""
    rows = prices.get(model) or prices.get(_DATED.sub("", model)) or ()
    day = datetime.fromtimestamp(min(timestamp, _LAST), UTC).date()
    return next((row for row in reversed(rows) if row.since <= day), None)


def _read(file: Path) -> dict[str, list[Price]]:
    rows = read_rows(file, Price, PriceError, key=lambda row: (row.model, row.since))
    found: dict[str, list[Price]] = {}
    for row in sorted(rows, key=lambda row: row.since):
        found.setdefault(row.model, []).append(row)
    return found
