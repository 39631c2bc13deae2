"""`slm bench serve`: the embedded engine against `transformers.generate` on the same adapter, and factored prompts against full ones."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from time import perf_counter

from slm_pipeline.inference import prompt_form
from slm_pipeline.lake import Lake
from slm_pipeline.prompting import token_ids
from slm_pipeline.records import Json
from slm_pipeline.resources.engine import Engine
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s5_finetune.attempt import ADAPTER
from slm_pipeline.s5_finetune.configuration import COLUMN
from slm_pipeline.settings import Settings

PROMPTS = 40
TOKENS = 48  # of an answer, at most
COMPARED, FULL_TOKENS = 10, 16  # prompts whose full and factored forms are compared, and the tokens that both make an answer of


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `serve`, on test prompts of the first group of a lake that has an adapter; `data` is a lake's folder.

    `tokens_per_s`, `baseline_tokens_per_s`: of answers, prompts included in the time, one prompt after the other, greedy, no schema;
    the baseline runs peft's model in the dtype that training uses here. `ttft_ms`: median time to the first token, nothing kept of
    earlier prompts. `factored_speedup`: time of full prompts by time of factored ones, nothing kept; `factored_speedup_warm`: of full
    prompts whose common beginning is kept, in the order that serves this best, by that of factored ones from which nothing is. Raises
    LookupError for a lake without adapters.
    """
    lake = Lake(str(data) if data else settings.lake)
    group = next(iter(lake.partitions(ADAPTER)), None)
    if group is None:
        raise LookupError(f"{lake.root} has no adapter: `slm run` trains them")
    files, table = lake.read(ADAPTER, group), lake.read("s3_cluster/task_examples", group).table("examples")
    base = ensure_base(files.json("training")["base"], settings)
    rows = table[table["split"] == "test"].head(PROMPTS)
    prompts = _prompts(rows[COLUMN[prompt_form(files.json("training"))]], base, settings.max_prompt_tokens)
    full = _prompts(rows["full_messages"].head(COMPARED), base, settings.base_prompt_tokens)
    ours, baseline = _engine(files.local(), base, prompts, settings), _transformers(files.local(), base, prompts)
    cold = {name: _seconds(files.local(), base, asked, False) for name, asked in (("factored", prompts[:COMPARED]), ("full", full))}
    warm = _seconds(files.local(), base, sorted(full), True)
    return {
        "n": len(prompts),
        "n_full": len(full),
        "seed": settings.seed,
        "tokens_per_s": round(ours["tokens"] / ours["seconds"], 1),
        "baseline_tokens_per_s": round(baseline["tokens"] / baseline["seconds"], 1),
        "speedup": round(ours["tokens"] / ours["seconds"] / (baseline["tokens"] / baseline["seconds"]), 2),
        "ttft_ms": round(ours["ttft_ms"], 1),
        "factored_speedup": round(cold["full"] / cold["factored"], 2),
        "factored_speedup_warm": round(warm / cold["factored"], 2),
        "prompt_tokens": round(_mean_tokens(prompts, base), 1),
        "full_prompt_tokens": round(_mean_tokens(full, base), 1),
    }


def _prompts(messages: Sequence[str], base: BaseFiles, budget: int) -> list[str]:
    from slm_pipeline.prompting import fit_messages, render_prompt

    return [render_prompt(fit_messages(json.loads(each), base.folder, budget)[0], base.folder) for each in messages]


def _mean_tokens(prompts: Sequence[str], base: BaseFiles) -> float:
    return sum(len(token_ids(prompt, base.folder)) for prompt in prompts) / len(prompts)


def _started(adapter: Path, base: BaseFiles, prompts: Sequence[str], keeps_prompts: bool) -> Engine:
    from slm_pipeline.s5_finetune.fit import served

    longest = max(len(token_ids(prompt, base.folder)) for prompt in prompts)
    engine = Engine(*served(base, adapter), longest + TOKENS + 64, keeps_prompts)
    engine.answer("?", None, 1)
    return engine


def _engine(adapter: Path, base: BaseFiles, prompts: Sequence[str], settings: Settings) -> Json:
    with _started(adapter, base, prompts, False) as engine:
        began = perf_counter()
        said = [engine.complete([prompt], [None], TOKENS)[0] for prompt in prompts]
        seconds = perf_counter() - began
        first = [engine.complete([prompt], [None], 1)[0].latency_ms for prompt in prompts]
    _say(f"engine: {seconds:.1f} s")
    return {"tokens": sum(completion.tokens for completion in said), "seconds": seconds, "ttft_ms": median(first)}


def _transformers(adapter: Path, base: BaseFiles, prompts: Sequence[str]) -> Json:
    from slm_pipeline.s5_finetune.export.compare import greedy_answers
    from slm_pipeline.s5_finetune.export.merge import adapted_model
    from slm_pipeline.s5_finetune.methods import training_dtype

    model = adapted_model(adapter, base.folder).to(training_dtype())
    greedy_answers(model, prompts[:1], base.folder, TOKENS)
    began = perf_counter()
    said = greedy_answers(model, prompts, base.folder, TOKENS)
    seconds = perf_counter() - began
    _say(f"transformers: {seconds:.1f} s")
    return {"tokens": sum(len(token_ids(text, base.folder)) + 1 for text in said), "seconds": seconds}


def _seconds(adapter: Path, base: BaseFiles, prompts: Sequence[str], keeps_prompts: bool) -> float:
    """The time of all prompts with an answer of FULL_TOKENS each, which a schema that nothing ends makes them write."""
    with _started(adapter, base, prompts, keeps_prompts) as engine:
        began = perf_counter()
        for prompt in prompts:
            engine.complete([prompt], [ENDLESS], FULL_TOKENS)
        return perf_counter() - began


ENDLESS: Json = {"type": "string", "minLength": 400}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
