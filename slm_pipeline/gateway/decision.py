"""Who answers a call: the one place where that is decided."""

from dataclasses import dataclass
from typing import Literal

from slm_pipeline.records import Json


@dataclass(frozen=True)
class Decision:
    """The route of a call, and why it goes there."""

    route: Literal["slm", "llm"]
    reason: str


def decide(request: Json) -> Decision:
    """The route of a request in OpenAI's chat form. There is no release yet, so the LLM answers everything."""
    return Decision("llm", "no_release")
