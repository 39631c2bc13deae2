"""Whether a challenger may become champion: only if it beats the champion (at first: the base) beyond noise, and is not worse than that on
the newest traffic. And, beside that, whether it is worse than the teacher."""

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class NonInferiority:
    """Whether the adapter's answers are right as often as the teacher's, but for `margin`.

    difference: of the shares of right answers, adapter minus teacher, paired, with its 95 % interval over n calls; None where nothing
    says what is right.
    """

    verdict: Literal["not inferior", "inferior", "not shown", "not testable"]
    why: str
    score: str | None
    margin: float
    difference: Json | None


def non_inferiority(report: Json, settings: Settings) -> NonInferiority:
    """Read from where the interval of the difference lies to the margin (Piaggio et al. 2012, JAMA 308(24), figure 1).

    Fidelity plays no part: a teacher is never less faithful to itself.
    """
    score, margin = report["right"], settings.noninferiority_margin
    if score is None:
        return NonInferiority("not testable", "neither gold nor a checker says what is right", None, margin, None)
    against = report["gain"].get("teacher", {}).get(score)
    if score == "checked" and (errors := report["checker_errors"]["n"]):
        return NonInferiority("not testable", f"a checker failed on {errors} answers", score, margin, against)
    if against is None or against["n"] < settings.min_test_calls:
        n = against["n"] if against else 0
        why = f"{n} calls on which both were judged, {settings.min_test_calls} needed"
        return NonInferiority("not testable", why, score, margin, against)
    if against["low"] is None:
        return NonInferiority("not testable", "all calls are of one session: no interval", score, margin, against)
    verdict = "not inferior" if against["low"] > -margin else "inferior" if against["high"] < -margin else "not shown"
    return NonInferiority(verdict, f"{score} {_range(against)} against the teacher, margin {margin:g}", score, margin, against)


def _refusal(report: Json, settings: Settings, adapter_digest: str, against: str, gain: Json) -> str:
    if report["adapter"]["digest"] != adapter_digest:
        return f"the report judges adapter {report['adapter']['digest']}, not {adapter_digest}: evaluate again"
    if errors := report["checker_errors"]["n"]:
        return f"a checker failed on {errors} answers, mend it: {report['checker_errors']['first']}"
    if gain["n"] < settings.min_test_calls:
        return f"too few test calls: {gain['n']}, {settings.min_test_calls} needed"
    if gain["low"] is None:
        return "all test calls are of one session: no interval"
    if gain["low"] <= 0:
        return f"does not beat {against} beyond noise: {_range(gain)}"
    newest = report["newest"]["champion" if report["champion"] else "base"]
    if newest["high"] is not None and newest["high"] < 0:
        return f"worse than {against} on the newest third of the calls, beyond noise: {_range(newest)}"
    return ""


def _range(gain: Json) -> str:
    return f"{gain['mean']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
