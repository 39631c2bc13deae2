"""Makes a challenger the champion, if the report in the lake says so at that very moment."""

from dataclasses import dataclass

from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.resources.tracking import AdapterVersion, challenger, champion, promote
from slm_pipeline.s6_refine.gate import judge
from slm_pipeline.settings import Settings

ADAPTER, ATTEMPT, REPORT = "s5_finetune/adapter", "s5_finetune/attempt", "s6_refine/eval_report"


@dataclass(frozen=True)
class Promotion:
    """What was done: `champion` is the group's champion version afterwards, or None."""

    promoted: bool
    champion: str | None
    reason: str


def promote_if_passed(group: str, settings: Settings) -> Promotion:
    """Re-read the gate from the written report, and promote the group's challenger if it is the adapter that passed."""
    waiting, current = challenger(settings, group), champion(settings, group)
    written = Lake(settings.lake).read(REPORT, group)
    version = current.version if current else None
    if waiting is None:
        return Promotion(False, version, "no challenger waits")
    if written is None:
        return Promotion(False, version, "the challenger was never evaluated")
    report = written.json("report")
    if stale := _stale(report, current):
        return Promotion(False, version, stale)
    gate = judge(report, settings, waiting.lake_digest)
    if not gate.passed:
        return Promotion(False, version, gate.reason)
    promote(settings, group, waiting.version)
    return Promotion(True, waiting.version, gate.reason)


def _stale(report: Json, current: AdapterVersion | None) -> str:
    """Why the report does not judge against today's champion; empty if it does."""
    against, now = (report["champion"] or {}).get("version"), current.version if current else None
    return "" if against == now else f"the report judges against {_name(against)}, but the champion is {_name(now)}: evaluate again"


def _name(version: str | None) -> str:
    return f"v{version}" if version else "the base"
