"""What a call costs by the table of prices, and how a user adds to it."""

from datetime import UTC, datetime

import pytest

from slm_pipeline.prices import PriceError, price_of, read_prices
from slm_pipeline.settings import Settings

ROW = "- {model: own, input: 1, output: 2, since: 2026-01-01, source: contract}\n"


def at(day: str) -> float:
    return datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()


@pytest.fixture
def prices(tmp_path):
    """What is read if `<home>/prices.yaml` says this."""

    def read(text=""):
        if text:
            (tmp_path / "prices.yaml").write_text(text)
        return read_prices(Settings(home=tmp_path))

    return read


@pytest.mark.parametrize(
    ("name", "input", "output"),
    [
        ("gpt-4o", 2.5, 10),
        ("gpt-4o-2024-11-20", 2.5, 10),
        ("gpt-4o-2024-05-13", 5, 15),  # its first form cost more
        ("gpt-4-0613", 30, 60),
        ("gpt-4.1-mini", 0.4, 1.6),
        ("claude-sonnet-4-20250514", 3, 15),
        ("gemini-2.5-pro", 1.25, 10),  # dearer for prompts beyond 200,000 tokens
        ("deepseek-chat", 0.27, 1.1),  # cheaper at night
    ],
)
def test_published_prices_count_for_models_that_the_user_does_not_name(prices, name, input, output):
    price = price_of(name, at("2026-03-31"), prices(ROW))
    assert (price.input, price.output) == (input, output)


def test_a_published_price_is_that_of_its_day(prices):
    assert price_of("o3", at("2025-05-01"), prices()).input == 10
    assert price_of("o3", at("2025-07-01"), prices()).input == 2


@pytest.mark.parametrize("name", ["gpt-4o-audio", "gpt-4o-2024-08", "gpt-4o2024-08-06", "my-gpt-4o", "gpt", "teacher", "", "x" * 5_000])
def test_a_name_that_only_resembles_one_has_no_price(prices, name):
    assert price_of(name, at("2026-03-31"), prices()) is None


def test_the_price_in_force_at_the_time_counts(prices):
    table = prices(ROW + "- {model: own, input: 0.5, output: 1, since: 2026-06-01, source: contract}\n")
    assert price_of("own", at("2025-12-31"), table) is None
    assert price_of("own", at("2026-01-01"), table).input == 1
    assert price_of("own", at("2026-05-31") + 86_399, table).input == 1
    assert price_of("own", at("2026-06-01"), table).input == 0.5
    assert price_of("own", 1e13, table).input == 0.5, "a time in milliseconds lies beyond every calendar"


def test_a_users_rows_are_a_models_only_ones(prices):
    table = prices(ROW + "- {model: gpt-4o, input: 1.1, output: 3, since: 2026-02-01, source: contract}\n")
    assert price_of("gpt-4o-2024-11-20", at("2026-03-31"), table).input == 1.1
    assert price_of("gpt-4o", at("2026-01-31"), table) is None
    assert price_of("gpt-4o-mini", at("2026-03-31"), table).input == 0.15


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "- {model: own, input: -1, output: 2, since: 2026-01-01, source: x}",
            ["row 1 (own)", "field input", "greater than or equal to 0"],
        ),
        (ROW + "- {model: other, input: 1, since: 2026-01-01, source: x}", ["row 2 (other)", "field output", "required"]),
        ("- {model: own, input: 1, output: 2, since: yesterday, source: x}", ["row 1 (own)", "field since"]),
        ("- {model: own, input: 1, output: 2, since: 2026-01-01, source: x, per: hour}", ["row 1 (own)", "field per"]),
        ("- {input: 1, output: 2, since: 2026-01-01, source: x}", ["row 1 (without model)", "field model"]),
        ("- gpt-4o", ["row 1 (without model)"]),
        ("own: 1", ["must be a list of rows"]),
        ("- {model: own", ["not YAML"]),
        (ROW + ROW, ["row 1 (own) is there more than once, again as row 2", "keep one"]),
    ],
)
def test_a_row_that_is_none_is_named(prices, text, said, tmp_path):
    with pytest.raises(PriceError) as error:
        prices(text)
    for words in (str(tmp_path / "prices.yaml"), *said):
        assert words in str(error.value)
