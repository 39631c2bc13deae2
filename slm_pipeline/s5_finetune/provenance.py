"""What a group's examples are made of, as an adapter's card tells it."""

from slm_pipeline.lake import Artefact
from slm_pipeline.records import Json
from slm_pipeline.s2_curate.curation import VERSION as CURATION


def data_facts(examples: Artefact) -> Json:
    """Of an artefact of `task_examples`: its digest, the curation's version, days, and calls by split, source of target and task."""
    table = examples.table("examples", columns=["day", "split", "task", "target_source"])
    tasks = examples.json("tasks")
    return {
        "digest": examples.digest,
        "curation": CURATION,
        "first_day": table["day"].min(),
        "last_day": table["day"].max(),
        "days": int(table["day"].nunique()),
        "splits": {split: int(n) for split, n in table["split"].value_counts().sort_index().items()},
        "targets": {source: int(n) for source, n in table["target_source"].value_counts().sort_index().items()},
        "tasks": {tasks[key]["name"]: int(n) for key, n in table["task"].value_counts().sort_index().items()},
    }
