"""`GET /dashboard`: what is served right now, what is promised of it, and the reports; one page that keeps itself up to date."""

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache

from prometheus_client import CollectorRegistry

from slm_pipeline.gateway.slm import SlmSide
from slm_pipeline.lake import Artefact, Lake
from slm_pipeline.records import Json
from slm_pipeline.s6_refine.release import promises

REPORTS = ("savings", "replaceability")
SHOWN = 8
"""Newest events of the rollout."""


def page(registry: CollectorRegistry, slm: SlmSide, lake: Lake, live_only: bool) -> tuple[str, dict[str, str]]:
    """The page, and the headers it is sent with: nothing but itself may be loaded or run. Reads the lake for its reports, which the page
    leaves out where it asks for what is live only; blocks."""
    written = {} if live_only else {name: lake.read(f"s6_refine/{name}") for name in REPORTS}
    reports = [{"name": name, **_report(artefact)} for name, artefact in written.items() if artefact]
    html = _template().render(live=_live(registry, slm), reports=reports, at=_time(datetime.now(UTC).timestamp()))
    script = base64.b64encode(hashlib.sha256(_script().encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; script-src 'sha256-{script}'"
    return html, {"content-security-policy": policy, "cache-control": "no-store", "x-content-type-options": "nosniff"}


def _live(registry: CollectorRegistry, slm: SlmSide) -> Json:
    """What this gateway has done since it started."""
    decided = _values(registry, "slm_decisions_total")
    by_slm = sum(n for labels, n in decided if labels["route"] == "slm")
    calls = sum(n for _, n in decided)
    reasons = sorted(((labels["route"], labels["reason"], int(n)) for labels, n in decided), key=lambda row: (-row[2], row))
    seconds = {labels["route"]: total for labels, total in _values(registry, "slm_answer_seconds_sum")}
    counts = {labels["route"]: n for labels, n in _values(registry, "slm_answer_seconds_count")}
    return {
        "calls": int(calls),
        "by_slm": int(by_slm),
        "share": by_slm / calls if calls else None,
        "reasons": [(route, reason, n, n / calls) for route, reason, n in reasons],
        "milliseconds": {route: 1000 * seconds[route] / n for route, n in sorted(counts.items()) if n},
        "engines": (slm.engines.ready, slm.engines.loading),
        "rollout": slm.rollout,
        "releases": [{"name": name, "watch": slm.watched(name), "promises": promises(facts)} for name, facts in slm.facts().items()],
        "events": [event | {"at": _time(event["at"])} for event in reversed(slm.rollout.history[-SHOWN:])],
    }


def _values(registry: CollectorRegistry, sample: str) -> list[tuple[dict[str, str], float]]:
    return [(of.labels, of.value) for metric in registry.collect() for of in metric.samples if of.name == sample]


def _report(artefact: Artefact) -> Json:
    from markdown_it import MarkdownIt

    name = next(file for file in artefact.files if file.endswith(".md"))
    picture = next((file for file in artefact.files if file.endswith(".png")), None)
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render(artefact.bytes(name).decode())
    return {"html": html, "picture": base64.b64encode(artefact.bytes(picture)).decode() if picture else None}


@cache
def _template():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(loader=PackageLoader("slm_pipeline.gateway", "."), autoescape=True, undefined=StrictUndefined)
    return environment.get_template("dashboard.html.jinja", globals={"script": _script()})


@cache
def _script() -> str:
    from importlib.resources import files

    return files("slm_pipeline.gateway").joinpath("dashboard.js").read_text()


def _time(timestamp: float) -> str:
    return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S} UTC"
