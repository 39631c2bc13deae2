"""What the gateway serves: the champions of all groups with their routers, and what is promised of each. Immutable, named by its digest."""

from collections.abc import Mapping

import pandas as pd

from slm_pipeline.checkers import checkers_of
from slm_pipeline.inference import task_schemas
from slm_pipeline.lake import Artefact, Lake, digest
from slm_pipeline.records import Json
from slm_pipeline.resources import tracking
from slm_pipeline.s6_refine.certification import WHOLE, certificates, threshold
from slm_pipeline.s6_refine.promotion import ADAPTER
from slm_pipeline.s6_refine.routing import EXAMPLES, ROUTER
from slm_pipeline.settings import Settings

RELEASE, CLUSTERS = "s6_refine/release", "s3_cluster/task_clusters"
ALL = "all its calls"
MODELS = ("router.npz", "verifier.npz", "strangeness.npz")


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
    at_once = {task for of in facts.values() for task in of["at_once"]}
    found = certificates({g: _uncertain(written, facts[g]) for g, written in ready.items()}, settings.alpha, settings.delta, at_once)
    inputs = digest(clusters.digest, {group: written.digest for group, written in ready.items()}, settings.alpha, settings.delta)
    before = lake.read(RELEASE)
    if before and before.inputs == inputs:
        return before, False
    release = {
        "alpha": settings.alpha,
        "delta": settings.delta,
        "clusters": clusters.digest,
        "groups": {
            group: facts[group] | {"certificates": found[group], "tasks": _tasks(lake, group, facts[group], found[group], settings)}
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


def _tasks(lake: Lake, group: str, facts: Json, found: Mapping[str, Json], settings: Settings) -> Json:
    """By task of a group, how its calls are answered: the `schema` that holds decoding, its `checker`'s file and text or None, and the
    verifier's score from which an answer is served (`threshold`); None where a checker that is `gold` decides, or nothing is served."""
    tasks, checkers = lake.read(EXAMPLES, group).json("tasks"), checkers_of(facts["checkers"], group, settings)
    schemas = task_schemas(tasks)
    return {
        task: {
            "schema": schemas[task],
            "checker": [checkers[task].path.name, checkers[task].text] if task in checkers else None,
            "gold": task in facts["gold"],
            "at_once": task in facts["at_once"],
            "threshold": None if task in facts["gold"] else threshold(found, task, task in facts["at_once"]),
        }
        for task in tasks
    }


def promises(release: Json) -> list[tuple[str, str, str, str, int | None]]:
    """What is promised: group, of what, the promise, what it is about, and the sessions that say so; a row for each."""
    rows = []
    for group, of in sorted(release["groups"].items()):
        if of["gold"]:
            which = "1 task" if len(of["gold"]) == 1 else f"{len(of['gold'])} tasks"
            rows.append((group, which, "what the checker passes is right", "correctness", None))
        for unit, found in of["certificates"].items():
            rows.append((group, ALL if unit == WHOLE else f"task {unit}", found["told"], found["label"], found["sessions"]))
    return rows


def told(release: Json) -> list[str]:
    """A line for each promise."""
    return [f"{group if of == ALL else f'{group}, {of}'}: {promise} ({label})" for group, of, promise, label, _ in promises(release)]


def promised(lake: Lake) -> list[str]:
    """The same of the newest release, or that there is none."""
    written = lake.read(RELEASE)
    return told(written.json("release")) if written else ["no release: no group has a champion"]


def release_names(lake: Lake) -> list[str]:
    """All releases that were ever made, by name."""
    return lake.versions(RELEASE)


def differences(one: Json, other: Json) -> list[str]:
    """What the second release has that the first has not, and the other way round, a line each."""
    lines = []
    for group in sorted(one["groups"].keys() | other["groups"].keys()):
        before, after = (of["groups"].get(group) for of in (one, other))
        if before is None or after is None:
            lines.append(f"{group}: {'added' if before is None else 'gone'}")
            continue
        if before["adapter"] != after["adapter"]:
            lines.append(f"{group}: adapter v{before['version']} on {before['base']}, then v{after['version']} on {after['base']}")
        for unit in sorted(before["certificates"].keys() | after["certificates"].keys()):
            told = [of["certificates"].get(unit, {}).get("told", "nothing") for of in (before, after)]
            lines += [f"{group}, {unit}: {told[0]}; then {told[1]}"] if told[0] != told[1] else []
        if before["gold"] != after["gold"]:
            lines.append(f"{group}: {len(before['gold'])} tasks with a checker that is gold, then {len(after['gold'])}")
    if one["clusters"] != other["clusters"]:
        lines.append("other tasks: how calls are recognised has changed")
    return lines


def adapter_files(release: Json, group: str, lake: Lake) -> Artefact:
    """The adapter that a release serves for a group."""
    return lake.version(ADAPTER, group, release["groups"][group]["adapter"])
