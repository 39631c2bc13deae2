"""Who answers a call, and why."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Decision:
    """The route of a call, and the reason: for the LLM, why no SLM answers. chance: that the SLM is right, as the router saw it before."""

    route: Literal["slm", "llm"]
    reason: str
    group: str | None = None
    chance: float | None = None
    release: str | None = None
