"""A group's test split as a task of EleutherAI's lm-eval harness, so that anyone can reproduce a score with its own command line.

The task folder is self-contained: `<group>.yaml` and `test.jsonl` {prompt, target}. Prompts bear the chat markup already, so
lm-eval adds neither chat template nor special tokens. Decoding is greedy and, unlike ours, not held to a schema.
"""

import io
import json
import os
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from slm_pipeline.records import Json
from slm_pipeline.settings import REPOSITORY

METRIC = "exact_match"
HuggingFaceForm = tuple[Path, Path | None]
"""A model's folder, and that of a PEFT adapter if it has one."""

OFFLINE = {"HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}


def task_files(group: str, prompts: Iterable[str], targets: Iterable[str], until: list[str], max_tokens: int) -> dict[str, str]:
    """The task folder's files by name. `until` are the strings that end an answer; `max_tokens` bounds it."""
    config = {
        "task": group,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": "test.jsonl"}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "prompt",
        "doc_to_target": "target",
        "generation_kwargs": {"until": until, "max_gen_toks": max_tokens, "do_sample": False, "temperature": 0.0},
        "metric_list": [{"metric": METRIC, "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": 1.0},
    }
    lines = (json.dumps({"prompt": prompt, "target": target}, ensure_ascii=False) for prompt, target in zip(prompts, targets, strict=True))
    return {f"{group}.yaml": yaml.safe_dump(config, sort_keys=False), "test.jsonl": "".join(f"{line}\n" for line in lines)}


def score_with_lm_eval(task_dir: Path, group: str, base: Path, adapter: Path | None, limit: int = 0, batch_size: int = 8) -> Json:
    """{"exact_match", "stderr", "n"} of a base (Hugging Face folder), with a PEFT adapter folder if given, as lm-eval measures it.

    `limit` 0 means all examples. Makes no connection.
    """
    config = yaml.safe_load((task_dir / f"{group}.yaml").read_text())
    results = run_lm_eval(config, task_dir / "test.jsonl", base, adapter, limit, batch_size)
    scores = results["results"][group]
    stderr = scores[f"{METRIC}_stderr,none"]
    n = int(results["n-samples"][group]["effective"])
    return {"exact_match": float(scores[f"{METRIC},none"]), "stderr": None if stderr == "N/A" else float(stderr), "n": n}


@contextmanager
def hugging_face_form(base: Path, adapter: Path) -> Iterator[HuggingFaceForm]:
    """What was trained on `base`, as lm-eval loads it: base and PEFT folder, or one merged model if the folder is none of PEFT's."""
    if (adapter / "adapter_config.json").exists():
        yield base, adapter
        return
    from slm_pipeline.s5_finetune.export.merge import merge

    with TemporaryDirectory() as merged:
        merge(adapter, base, Path(merged))
        yield Path(merged), None


def run_lm_eval(config: Json, data: Path, base: Path, adapter: Path | None, limit: int, batch_size: int) -> Json:
    """What lm-eval says of one task whose test set lies in `data`, its `samples` one by one included. Makes no connection."""
    os.environ.update(OFFLINE)
    import lm_eval
    from lm_eval.tasks import TaskManager

    # its progress bars would break the lines of ours
    with TemporaryDirectory() as cache, redirect_stderr(io.StringIO()):
        return lm_eval.simple_evaluate(
            model="hf",
            model_args=_model_args(base, adapter),
            tasks=[config | {"dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": cache}}],
            batch_size=batch_size,
            device="cpu",
            limit=limit or None,
            task_manager=TaskManager(verbosity="ERROR", include_defaults=False),
        )


def command_line(task_dir: Path, group: str, base: Path, adapter: Path | None, limit: int = 0, batch_size: int = 8) -> str:
    """The shell command that reproduces `score_with_lm_eval` with lm-eval's own CLI, to be given in the repository's root."""
    base, adapter = _seen_from(task_dir, base), adapter and _seen_from(task_dir, adapter)
    arguments = ["lm_eval", "run", "--model", "hf", "--model_args", ",".join(f"{k}={v}" for k, v in _model_args(base, adapter).items())]
    arguments += ["--tasks", group, "--include_path", ".", "--batch_size", str(batch_size), "--device", "cpu"]
    arguments += ["--limit", str(limit)] if limit else []
    offline = " ".join(f"{name}={value}" for name, value in OFFLINE.items())
    return f"cd {shlex.quote(str(_seen_from(REPOSITORY, task_dir)))} && {offline} {shlex.join(arguments)}"


def _seen_from(folder: Path, path: Path) -> Path:
    """`path` relative to `folder`, if both lie in the repository."""
    inside = all(p.resolve().is_relative_to(REPOSITORY) for p in (folder, path))
    return Path(os.path.relpath(path.resolve(), folder.resolve())) if inside else path


def _model_args(base: Path, adapter: Path | None) -> dict[str, Any]:
    arguments: dict[str, Any] = {"pretrained": str(base), "dtype": "float32", "add_bos_token": False}
    return arguments | ({"peft": str(adapter)} if adapter else {})
