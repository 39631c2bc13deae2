"""What the gateway serves: the champions of all groups with their routers, and what is promised of each. Immutable, named by its digest."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s6_refine.certification import WHOLE, certificates, threshold
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.s6_refine.routing import EXAMPLES, ROUTER
from slm_pipeline.settings import Settings

RELEASE, CLUSTERS = "s6_refine/release", "s3_cluster/task_clusters"
MODELS = ("router.npz", "verifier.npz")


@dataclass(frozen=True)
class Served:
    """How calls of a task are answered. threshold: the verifier's score from which an SLM's answer is served; None: by a checker that is
    gold alone (`gold`), or never."""

    threshold: float | None
    gold: bool

    @property
    def ever(self) -> bool:
        return self.gold or self.threshold is not None


def build_release(settings: Settings) -> tuple[Artefact | None, bool]:
    """The release of today's champions, and whether it is new; None without any champion that has a router.

    Holds `release` (facts, below), `clusters`, and by group `<group>/router.npz` and `<group>/verifier.npz`. A group whose router was
    trained for another adapter than the champion is left out until it is trained again.
    """
    lake = Lake(settings.lake)
    ready = {group: written for group in lake.partitions(ROUTER) if _current(written := lake.read(ROUTER, group), group, settings)}
    if not ready:
        return None, False
    facts, clusters = {group: written.json("router") for group, written in ready.items()}, lake.read(CLUSTERS)
    found = certificates({g: _uncertain(written, facts[g]) for g, written in ready.items()}, settings.alpha, settings.delta)
    inputs = digest(clusters.digest, {group: written.digest for group, written in ready.items()}, settings.alpha, settings.delta)
    before = lake.read(RELEASE)
    if before and before.inputs == inputs:
        return before, False
    release = {
        "alpha": settings.alpha,
        "delta": settings.delta,
        "clusters": clusters.digest,
        "groups": {
            group: facts[group] | {"certificates": found[group], "tasks": _tasks(lake, group, facts[group], found[group])}
            for group in ready
        },
    }
    models = {f"{group}.{name}": written.bytes(name) for group, written in ready.items() for name in MODELS}
    contents = {"release": release, "clusters": clusters.json("clusters"), **models}
    return lake.write(RELEASE, None, contents, inputs, keep_old=True), True


def _current(written: Artefact, group: str, settings: Settings) -> bool:
    champion = tracking.champion(settings, group)
    return champion is not None and written.json("router")["adapter"] == champion.lake_digest


def _uncertain(written: Artefact, facts: Json) -> pd.DataFrame:
    """The outcomes of the tasks that need a promise: where a checker is gold, what it passes is right."""
    rows = written.table("outcomes")
    return rows[~rows["task"].isin(facts["gold"])]


def _tasks(lake: Lake, group: str, facts: Json, found: Mapping[str, Json]) -> Json:
    """By task of a group: `Served`."""
    tasks = lake.read(EXAMPLES, group).json("tasks")
    return {task: vars(Served(None if task in facts["gold"] else threshold(found, task), task in facts["gold"])) for task in tasks}


def told(release: Json) -> list[str]:
    """A line for each promise."""
    lines = []
    for group, of in sorted(release["groups"].items()):
        lines += [f"{group}, {len(of['gold'])} tasks: served if their checker passes the answer"] if of["gold"] else []
        for unit, found in of["certificates"].items():
            name = group if unit == WHOLE else f"{group}, task {unit}"
            lines.append(f"{name}: {found['told']} ({found['label']})")
    return lines


def adapter_files(release: Json, group: str, lake: Lake) -> Artefact:
    """The adapter that a release serves for a group."""
    return lake.version(ADAPTER, group, release["groups"][group]["adapter"])
