"""The generator's own word lists (`words.toml`)."""

import tomllib
from functools import cache
from importlib.resources import files

_HELD = tomllib.loads((files("slm_pipeline.s2_curate.redact.names") / "words.toml").read_text(encoding="utf-8"))


@cache
def words(name: str) -> list[str]:
    """The values of a list."""
    return _HELD[name].split("|")


def tables(name: str) -> dict[str, list[str]]:
    """The lists of a table, by locale."""
    return {key: values.split("|") for key, values in _HELD[name].items()}
