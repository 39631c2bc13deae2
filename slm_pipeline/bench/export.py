"""`slm bench export`: whether exported adapters say what they say in PEFT, on the test prompts of a lake's groups."""

import json
import sys
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import NamedTuple

from slm_pipeline.inference import adapter_prompt, prompt_form
from slm_pipeline.lake import Lake
from slm_pipeline.records import Json
from slm_pipeline.s4_select.base_models import BaseFiles, ensure_base
from slm_pipeline.s5_finetune.attempt import ADAPTER
from slm_pipeline.s5_finetune.configuration import COLUMN
from slm_pipeline.settings import Settings

EXAMPLES = "s3_cluster/task_examples"
QUANTISATIONS = ("f16", "q8_0", "q4_k_m")


class Asked(NamedTuple):
    """A group's adapter as a folder, its base, and the test prompts that both are asked."""

    group: str
    adapter: Path
    base: BaseFiles
    prompts: list[str]


def measure(settings: Settings, data: Path | None) -> Json:
    """DESIGN's keys of `export`, over every group that has an adapter; `data` is a lake's folder, without it the settings' lake.

    `max_logit_difference` is the largest of all test prompts between merged model and adapter, fp32, at the last positions of a
    prompt. `adapter_f16` is the share of test prompts that llama.cpp, with the base in fp16 and the GGUF adapter, answers greedily
    word for word as PEFT does; `merged_f16`, `merged_q8_0`, `merged_q4_k_m` are those of the merged model. `adapters` counts groups
    whose adapter has a GGUF form. Prints how far it is to standard error. Raises LookupError for a lake without adapters.
    """
    lake = Lake(str(data) if data else settings.lake)
    groups = [_asked(lake, group, settings) for group in lake.partitions(ADAPTER)]
    if not groups:
        raise LookupError(f"{lake.root} has no adapter: `slm run` trains them")
    differences: list[float] = []
    same: dict[str, list[bool]] = {}
    for asked in groups:
        difference, agreed = _compare(asked, settings)
        differences.append(difference)
        for form, each in agreed.items():
            same.setdefault(form, []).extend(each)
    return {
        "n": sum(len(asked.prompts) for asked in groups),
        "seed": settings.seed,
        "groups": len(groups),
        "max_logit_difference": max(differences),
        **{form: fmean(each) for form, each in same.items()},
    }


def _asked(lake: Lake, group: str, settings: Settings) -> Asked:
    files, table = lake.read(ADAPTER, group), lake.read(EXAMPLES, group).table("examples")
    training = files.json("training")
    base = ensure_base(training["base"], settings)
    messages = table.loc[table["split"] == "test", COLUMN[prompt_form(training)]]
    return Asked(group, files.local(), base, [adapter_prompt(json.loads(each), base.folder, settings) for each in messages])


def _compare(asked: Asked, settings: Settings) -> tuple[float, dict[str, list[bool]]]:
    """Largest difference of logits between merged and adapted model, and by GGUF form which answers are the same."""
    from slm_pipeline.s5_finetune.export import NotExportable, adapter_to_gguf, model_to_gguf
    from slm_pipeline.s5_finetune.export.compare import compare_logits, greedy_answers, last_logits, llama_cpp_answers
    from slm_pipeline.s5_finetune.export.merge import adapted_model, load_fp32, merge

    group, adapter, base, prompts = asked
    context, tokens = settings.context_tokens, settings.max_answer_tokens
    same: dict[str, list[bool]] = {}
    with TemporaryDirectory() as folder:
        merged, gguf, beside = Path(folder) / "merged", Path(folder) / "model.gguf", Path(folder) / "adapter.gguf"
        merge(adapter, base.folder, merged)
        model = adapted_model(adapter, base.folder)
        logits = last_logits(model, prompts, base.folder)
        difference = compare_logits("merged", load_fp32(merged), logits, prompts, base.folder).value
        _say(f"{group}: largest logit difference {difference:.2g}; PEFT answers {len(prompts)} prompts")
        expected = greedy_answers(model, prompts, base.folder, tokens)

        def ask(form: str, beside: Path | None) -> None:
            said = llama_cpp_answers(gguf, beside, prompts, context, tokens)
            same[form] = [one == other for one, other in zip(said, expected, strict=True)]
            _say(f"{group}: {form} {fmean(same[form]):.1%}")

        try:
            adapter_to_gguf(adapter, base.folder, beside)
            model_to_gguf(base.folder, base.gguf, gguf, "f16")
            ask("adapter_f16", beside)
        except NotExportable as reason:
            _say(f"{group}: {reason}")
        for quantisation in QUANTISATIONS:
            model_to_gguf(merged, base.gguf, gguf, quantisation)
            ask(f"merged_{quantisation}", None)
    return difference, same


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
