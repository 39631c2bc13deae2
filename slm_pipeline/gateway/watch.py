"""Is a release doing well? Seen call by call; says when it is to be rolled back."""

from collections import deque

from slm_pipeline.router.drift import OutcomeDrift

WINDOW = 40
"""Newest calls that errors are counted in."""
MOST_ERRORS = 8
"""Errors among them that are too many: died, refused, or slower than `slm_seconds`."""


class Watch:
    """`risk`: how often a served answer may be another one than the LLM's, by group."""

    def __init__(self, risk: dict[str, float]):
        self._errors: deque[bool] = deque(maxlen=WINDOW)
        self._audits = {group: OutcomeDrift(min(of, 0.9)) for group, of in risk.items()}
        self.asked = self.served = self.audits = self.disagreed = 0

    def tried(self, error: bool, served: bool) -> str:
        """An SLM was asked; the reason to roll back, or ""."""
        self.asked += 1
        self.served += served
        self._errors.append(error)
        failed = sum(self._errors)
        return f"{failed} of the newest {len(self._errors)} calls failed or took too long" if failed >= MOST_ERRORS else ""

    def audited(self, group: str, agrees: bool) -> str:
        """An audit has ended; the reason to roll back, or ""."""
        self.audits += 1
        self.disagreed += not agrees
        found = self._audits[group].see(float(not agrees))
        return f"failed audits: the LLM says otherwise in {self.disagreed} of {self.audits}" if found else ""
