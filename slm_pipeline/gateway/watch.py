"""Is a release doing well? Seen call by call; says when it is to be rolled back."""

from collections import deque

from slm_pipeline.router.drift import OutcomeDrift, PromptDrift

WINDOW = 40
"""Newest calls that errors are counted in."""
MOST_ERRORS = 8
"""Errors among them that are too many: died, refused, or slower than `slm_seconds`."""

SESSIONS = 100_000
"""That are remembered, the newest ones."""
NEW, CAUTION = 200, 4
"""Of so many calls that a release serves first, so many times the usual share is audited besides: a bad one is found early."""


class Watch:
    """`risk`: how often a served answer may be another one than the LLM's; `usual`: how strange the calls were that its
    sessions began with; both by group."""

    def __init__(self, risk: dict[str, float], usual: dict[str, list[float]], seed: int):
        self._errors: deque[bool] = deque(maxlen=WINDOW)
        self._audits = {group: OutcomeDrift(min(of, 0.9)) for group, of in risk.items()}
        self._prompts = {group: PromptDrift(of, seed=seed) for group, of in usual.items()}
        self._begun: dict[tuple[str, str], None] = {}
        self.asked = self.served = self.audits = self.disagreed = 0

    @property
    def new(self) -> bool:
        """Whether it is among the first calls that the release serves."""
        return self.served <= NEW

    def tried(self, error: bool, served: bool) -> str:
        """An SLM was asked; the reason to roll back, or ""."""
        self.asked += 1
        self.served += served
        self._errors.append(error)
        failed = sum(self._errors)
        return f"{failed} of the newest {len(self._errors)} calls failed or took too long" if failed >= MOST_ERRORS else ""

    def begins(self, group: str, session: str) -> bool:
        """Whether a call is the first one of a session in its group: those that follow resemble it, so they say little about drift."""
        if (group, session) in self._begun:
            return False
        self._begun[group, session] = None
        if len(self._begun) > SESSIONS:
            self._begun.pop(next(iter(self._begun)))
        return True

    def strange(self, group: str, strangeness: float) -> str:
        """A session has begun; the reason to withdraw what was promised of its group, or ""."""
        return "its calls are no longer like those that were certified (drift)" if self._prompts[group].see(strangeness) else ""

    def audited(self, group: str, agrees: bool) -> str:
        """An audit has ended; the reason to roll back, or ""."""
        self.audits += 1
        self.disagreed += not agrees
        found = self._audits[group].see(float(not agrees))
        return f"failed audits: the LLM says otherwise in {self.disagreed} of {self.audits}" if found else ""
