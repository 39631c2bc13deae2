"""The gateway's OpenAPI description, served at /openapi.json."""

from functools import cache
from pathlib import Path

import yaml

from slm_pipeline.records import Json


@cache
def openapi() -> Json:
    """The description in `openapi.yaml`."""
    return yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text())
