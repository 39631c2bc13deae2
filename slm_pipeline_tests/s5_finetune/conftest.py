"""A group whose adapter can be trained in seconds."""

import textwrap
from pathlib import Path

import pandas as pd
import pytest

from slm_pipeline.lake import Lake
from slm_pipeline.settings import Settings, get_settings
from slm_pipeline_tests.tiny import NAME, make_tiny_base

GROUP = "tiny-00000000"
TASKS = {"task": {"name": "say a number", "tools": None, "forms": ["text"]}}
KILLED = textwrap.dedent("""
    import os, signal
    from slm_pipeline.s5_finetune.attempt import fine_tune
    from slm_pipeline.settings import get_settings
    def kill(step, steps, loss):
        if step == 7:
            os.kill(os.getpid(), signal.SIGKILL)
    fine_tune("tiny-00000000", get_settings(), "", kill)
""")


@pytest.fixture
def group(home, monkeypatch):
    for name, value in {"EPOCHS": "2", "LORA_RANK": "2", "CHECKPOINT_STEPS": "3", "BATCH_SIZE": "4"}.items():
        monkeypatch.setenv(f"SLM_{name}", value)
    make_tiny_base(home)
    lake = Lake(get_settings().lake)
    rows = [
        {
            "split": "validation" if i % 5 == 0 else "train",
            "messages": f'[{{"role": "system", "content": "Task"}}, {{"role": "user", "content": "say {i}"}}]',
            "full_messages": f'[{{"role": "system", "content": "Task: say a number"}}, {{"role": "user", "content": "say {i}"}}]',
            "answer": str(i),
            "failed": False,
            "rejected_answer": str(i + 1) if i % 2 else None,
            "task": "task",
            "form": "text",
            "target_source": "gold",
            "day": "2026-10-01",
        }
        for i in range(20)
    ]
    lake.write("s3_cluster/task_examples", GROUP, {"examples": pd.DataFrame(rows), "tasks": TASKS, "summary": {"failures_total": 0}})
    lake.write("s4_select/selected_base", GROUP, {"selection": {"base": NAME}})
    return lake


def elsewhere(lake: Lake, home: Path) -> Settings:
    """The settings of another home, with the same base and group, where nothing was trained yet."""
    settings = get_settings()
    home.mkdir()
    (home / "models").symlink_to(settings.models)
    moved = settings.model_copy(update={"home": home, "lake_url": None})
    other = Lake(moved.lake)
    examples, selection = lake.read("s3_cluster/task_examples", GROUP), lake.read("s4_select/selected_base", GROUP)
    other.write(
        "s3_cluster/task_examples",
        GROUP,
        {"examples": examples.table("examples"), "tasks": examples.json("tasks"), "summary": examples.json("summary")},
    )
    other.write("s4_select/selected_base", GROUP, {"selection": selection.json("selection")})
    return moved
