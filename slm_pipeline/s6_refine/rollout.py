"""How a release comes into service: beside the one that serves (shadow), for a share of calls (canary), for all; and back."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json

ROLLOUT = "s6_refine/rollout"
KEPT = 100  # entries of history


@dataclass(frozen=True)
class Rollout:
    """`serving` answers; `candidate`, a newer release, is on trial at its `stage`; `previous` served before. `refused` ones were rolled
    back and are not offered again. `withdrawn` groups of what serves, each with the reason, go to the LLM. Releases are named by their
    digests; `history` says what happened, oldest first."""

    serving: str | None = None
    candidate: str | None = None
    stage: Literal["shadow", "canary"] | None = None
    previous: str | None = None
    refused: tuple[str, ...] = ()
    withdrawn: Mapping[str, str] = field(default_factory=dict)
    history: tuple[Json, ...] = ()

    def offered(self, release: str) -> "Rollout":
        """A newer release goes on trial; an older candidate is dropped. Changes nothing if it is known already."""
        if release in (self.serving, self.candidate, *self.refused):
            return self
        return self._told("offered", release, candidate=release, stage="shadow")

    def promoted(self, reason: str = "") -> "Rollout":
        """The candidate goes one stage further: from shadow to canary, from canary into service. Raises ValueError without one."""
        if self.candidate is None:
            raise ValueError("No release is on trial, so there is nothing to promote.")
        if self.stage == "shadow":
            return self._told("canary", self.candidate, reason, stage="canary")
        return self._told(
            "full", self.candidate, reason, serving=self.candidate, previous=self.serving, candidate=None, stage=None, withdrawn={}
        )

    def rolled_back(self, reason: str, release: str | None = None) -> "Rollout":
        """Away with a release, if it is on trial or serves: unless it is named, with the candidate, and without one with what serves. Then
        the one before serves again. Raises ValueError if there is nothing to go back from."""
        gone = release or self.candidate or self.serving
        if gone is None:
            raise ValueError("No release serves, so there is nothing to roll back.")
        refused = (*self.refused, gone)
        if gone == self.candidate:
            return self._told("rolled back", gone, reason, candidate=None, stage=None, refused=refused)
        if gone == self.serving:
            return self._told("rolled back", gone, reason, serving=self.previous, previous=None, refused=refused, withdrawn={})
        return self

    def without(self, group: str, reason: str) -> "Rollout":
        """What serves no longer holds what it promised of a group: the LLM answers its calls until another release serves."""
        return self._told("withdrawn", f"{self.serving}: {group}", reason, withdrawn={**self.withdrawn, group: reason})

    def json(self) -> Json:
        return asdict(self)

    def _told(self, what: str, release: str, reason: str = "", **changes: object) -> "Rollout":
        said = {"at": round(time.time(), 3), "what": what, "release": release, "reason": reason}
        return replace(self, history=(*self.history, said)[-KEPT:], **changes)


def read_rollout(lake: Lake) -> Rollout:
    """How things stand now."""
    written = lake.read(ROLLOUT)
    if written is None:
        return Rollout()
    said = written.json("rollout")
    return Rollout(**said | {"refused": tuple(said["refused"]), "history": tuple(said["history"])})


def write_rollout(lake: Lake, rollout: Rollout) -> None:
    """Make it so; every gateway follows within seconds."""
    lake.write(ROLLOUT, None, {"rollout": rollout.json()})
