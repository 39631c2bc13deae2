"""What LLMs cost: published prices by day, and a dated table that a user writes.

Published are those that the package genai-prices was released with; nothing is fetched.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from slm_pipeline.settings import Settings
from slm_pipeline.yaml_rows import read_rows

MILLION = 1_000_000
FILE = "prices.yaml"
_DATED = re.compile(r"-(\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_LAST = 253_402_300_799  # the last second that a calendar knows
_FEW = 1_000  # tokens: some prices rise with the length of a prompt


class PriceError(ValueError):
    """A table of prices cannot be used; says file, row and field."""


class Price(BaseModel):
    """US dollars for a MILLION tokens that are read (input) and written (output), at the standard rate."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(min_length=1)
    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Row(Price):
    """A price from the day `since` on."""

    since: date
    source: str = Field(min_length=1)


Prices = Mapping[str, Sequence[Row]]
"""By model, oldest first."""


def read_prices(settings: Settings) -> Prices:
    """The user's table, `<home>/prices.yaml`. Raises PriceError."""
    file = settings.home / FILE
    found: dict[str, list[Row]] = {}
    rows = read_rows(file, Row, PriceError, key=lambda row: (row.model, row.since)) if file.exists() else []
    for row in sorted(rows, key=lambda row: row.since):
        found.setdefault(row.model, []).append(row)
    return found


def price_of(model: str, timestamp: float, prices: Prices) -> Price | None:
    """The price of a model, named with its date or without, at a time (unix seconds): what `prices` says, if it names the model, else what
    was published; None if it is not known."""
    day = datetime.fromtimestamp(min(timestamp, _LAST), UTC).date()
    if rows := prices.get(model) or prices.get(_DATED.sub("", model)):
        return next((row for row in reversed(rows) if row.since <= day), None)
    return _published(model, day)


@lru_cache(10_000)
def _published(model: str, day: date) -> Price | None:
    from genai_prices import Usage, calc_price

    noon = datetime.combine(day, time(12), UTC)  # some are cheaper at night
    try:
        found = calc_price(Usage(input_tokens=_FEW, output_tokens=_FEW), model, genai_request_timestamp=noon)
    except LookupError:
        return None
    read, written = (float(price * MILLION / _FEW) for price in (found.input_price, found.output_price))
    return Price(model=found.model.id, input=read, output=written)
