"""A group with an adapter of random weights, registered as version 1 and champion: what a training, and a gate passed, leave behind."""

import json
from pathlib import Path

import pandas as pd

from slm_pipeline.lake import Lake, digest
from slm_pipeline.resources import tracking
from slm_pipeline.s5_finetune.attempt import ADAPTER
from slm_pipeline.settings import Settings, get_settings
from slm_pipeline_tests.s6_refine.samples import GROUP, TASKS, example
from slm_pipeline_tests.tiny import NAME, make_tiny_base
from slm_pipeline_tests.tiny_architectures import make_tiny_adapter

SPLITS = ("train", "train", "train", "validation", "test")


def make_tiny_group(home: Path) -> None:
    """Make base, examples whose targets are gold, adapter and champion below `home`, the settings' own."""
    settings = get_settings()
    make_tiny_base(home)
    lake = Lake(settings.lake)
    rows = [example(i, SPLITS[i % 5], f"answer {i}", "text", target_source="gold") for i in range(50)]
    tasks = {"weather": TASKS["weather"] | {"slug": "weather", "text_prefix": "", "text_suffix": ""}}
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": tasks})
    add_version(settings, "lora")
    tracking.promote(settings, GROUP, "1")


def add_version(settings: Settings, method: str, teachers: dict[str, int] | None = None) -> None:
    """One more adapter of the group, in lake and registry; learned from `teachers` (answers by name) if not from gold."""
    folder = make_tiny_adapter(settings.models / NAME, settings.home / "trained" / method, method)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    training = {"group": GROUP, "base": NAME, "training_digest": "0123456789abcdef", "dataset_digest": "fedcba9876543210"}
    training |= {"examples": 30, "failures_seen": 2, "params": {"method": method, "prompt": "factored"}}
    training |= {"licence": {"teachers": teachers}} if teachers else {}
    artefact = Lake(settings.lake).write(ADAPTER, GROUP, {**files, "training": training}, keep_old=True)
    tags = {"base": NAME, "dataset_digest": training["dataset_digest"], "training_digest": training["training_digest"]}
    with tracking.attempt(settings, GROUP, {"method": method}, tags) as run:
        version = tracking.register(settings, GROUP, run, digest(json.dumps(sorted(files))), artefact.digest)
        tracking.set_challenger(settings, GROUP, version)
