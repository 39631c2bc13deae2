"""Whether a challenger may become champion: only if it beats the champion (at first: the base) beyond noise."""

from dataclasses import dataclass

from slm_pipeline.records import Json
from slm_pipeline.settings import Settings


@dataclass(frozen=True)
class Gate:
    """The verdict on a challenger: `gain` with its 95 % interval is challenger minus `against`, over n test calls."""

    passed: bool
    reason: str
    against: str
    gain: float | None
    low: float | None
    high: float | None
    n: int


def judge(report: Json, settings: Settings, adapter_digest: str) -> Gate:
    """Judge the adapter with `adapter_digest` by its group's evaluation report."""
    champion = report["champion"]
    against = f"champion v{champion['version']}" if champion else "base"
    gain = report["gain"]["champion" if champion else "base"]["accuracy"]
    reason = _refusal(report, settings, adapter_digest, against, gain)
    return Gate(not reason, reason or f"beats {against} by {_range(gain)}", against, gain["mean"], gain["low"], gain["high"], gain["n"])


def _refusal(report: Json, settings: Settings, adapter_digest: str, against: str, gain: Json) -> str:
    if report["adapter"]["digest"] != adapter_digest:
        return f"the report judges adapter {report['adapter']['digest']}, not {adapter_digest}: evaluate again"
    if gain["n"] < settings.min_test_calls:
        return f"too few test calls: {gain['n']}, {settings.min_test_calls} needed"
    if gain["low"] is None:
        return "all test calls are of one session: no interval"
    if gain["low"] <= 0:
        return f"does not beat {against} beyond noise: {_range(gain)}"
    return ""


def _range(gain: Json) -> str:
    return f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
