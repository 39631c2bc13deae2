"""Each form of an export: writes its files into a folder, loads them back, and says how they compare with the adapter."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from slm_pipeline.inference import adapter_prompt
from slm_pipeline.prompting import special_tokens
from slm_pipeline.resources.slm_server import served_name
from slm_pipeline.s5_finetune.export.chat_form import chat_form
from slm_pipeline.s5_finetune.export.compare import (
    MIN_AGREEMENT,
    Comparison,
    compare_answers,
    compare_logits,
    greedy_answers,
    last_logits,
    llama_cpp_answers,
)
from slm_pipeline.s5_finetune.export.gguf_adapter import adapter_to_gguf
from slm_pipeline.s5_finetune.export.gguf_model import model_to_gguf
from slm_pipeline.s5_finetune.export.layout import NotExportable
from slm_pipeline.s5_finetune.export.merge import TOKENIZER, adapted_model, load_fp32, merge
from slm_pipeline.s5_finetune.export.quantise import Quantisation
from slm_pipeline.s5_finetune.export.source import Source
from slm_pipeline.settings import Settings

if TYPE_CHECKING:
    import torch

PROMPTS, ANSWER_TOKENS = 20, 64  # prompts that are compared, and tokens at most of each answer
VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank takes


@dataclass(frozen=True)
class Job:
    """One export; `say` is told how far it is. What the adapter itself says is found once, by PEFT in fp32."""

    source: Source
    quantisations: tuple[Quantisation, ...]
    settings: Settings
    say: Callable[[str], None]

    @cached_property
    def prompts(self) -> list[str]:
        """Validation prompts, spread over all there are."""
        asked = self.source.conversations[:: max(1, len(self.source.conversations) // PROMPTS)][:PROMPTS]
        return [adapter_prompt(messages, self.source.base.folder, self.settings) for messages in asked]

    @cached_property
    def logits(self) -> list["torch.Tensor"]:
        self.say(f"the adapter's own logits on {len(self.prompts)} validation prompts")
        return last_logits(adapted_model(self.source.adapter, self.source.base.folder), self.prompts, self.source.base.folder)

    @cached_property
    def answers(self) -> list[str]:
        model = adapted_model(self.source.adapter, self.source.base.folder)
        return greedy_answers(model, self.prompts, self.source.base.folder, self.tokens, self._ticks("PEFT"))

    @property
    def tokens(self) -> int:
        return min(ANSWER_TOKENS, self.settings.max_answer_tokens)

    @property
    def context(self) -> int:
        """Room in tokens for one prompt and its answer."""
        return self.settings.context_tokens

    def compare_gguf(self, model: Path, adapter: Path | None, quantisation: Quantisation) -> Comparison:
        """llama.cpp's greedy answers against PEFT's; only unquantised weights have to agree."""
        expected, form = self.answers, f"{model.name} + {adapter.name}" if adapter else model.name
        said = llama_cpp_answers(model, adapter, self.prompts, self.context, self.tokens, self._ticks(form))
        return compare_answers(form, said, expected, MIN_AGREEMENT if quantisation == "f16" else None)

    def compare_model(self, form: str, model) -> Comparison:
        """Logits of a model in transformers against PEFT's."""
        return compare_logits(form, model, self.logits, self.prompts, self.source.base.folder)

    def _ticks(self, form: str) -> Callable[[], None]:
        """To be called after each answer; speaks after every fifth and the last."""
        done = count(1)

        def tick() -> None:
            if (n := next(done)) % 5 == 0 or n == len(self.prompts):
                self.say(f"{form}: {n} of {len(self.prompts)} prompts answered")

        return tick


def write_peft(job: Job, folder: Path) -> list[Comparison]:
    """The adapter as PEFT loads it, with the tokenizer and chat template it was trained with."""
    source = job.source
    if source.lora is None:
        raise NotExportable(f"version {source.version} of {source.group} is a full fine-tuning, no adapter: export it as merged or gguf")
    config = source.lora | {"base_model_name_or_path": source.base_id}
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True))
    shutil.copyfile(source.adapter / "adapter_model.safetensors", folder / "adapter_model.safetensors")
    _copy_tokenizer(source, folder)
    return [job.compare_model("adapter", adapted_model(folder, source.base.folder))]


def write_merged(job: Job, folder: Path) -> list[Comparison]:
    """Base and adapter as one model, in fp32 safetensors."""
    job.say("merging")
    merge(job.source.adapter, job.source.base.folder, folder)
    return [job.compare_model("merged", load_fp32(folder))]


def write_gguf(job: Job, folder: Path) -> list[Comparison]:
    """Base and merged model in every quantisation, and the adapter where llama.cpp has a form for it; an activated LoRA has no merged
    model."""
    comparisons, adapter = [], _write_adapter(job, folder)
    for quantisation in job.quantisations:
        base = _write_model(job, job.source.base.folder, folder / f"base-{quantisation}.gguf", quantisation)
        comparisons += [job.compare_gguf(base, adapter, quantisation)] if adapter else []
    return comparisons if job.source.activated else comparisons + _write_merged(job, folder)


def write_ollama(job: Job, folder: Path) -> list[Comparison]:
    """A Modelfile, and the merged model that it names: Ollama takes no adapters any more (since 0.34.1)."""
    source, (quantisation,) = job.source, job.quantisations
    template = chat_form(source.base.folder, source.conversations).go_template()
    comparisons = _write_merged(job, folder)
    (folder / "Modelfile").write_text(_modelfile(job, f"merged-{quantisation}.gguf", template))
    return comparisons


def write_vllm(job: Job, folder: Path) -> list[Comparison]:
    """The adapter, or the merged model where vLLM has no adapters of that kind (DoRA, full fine-tuning), and a line that serves it: by its
    group's name, and by the name under which the gateway asks for this very adapter."""
    source, context = job.source, job.settings.max_prompt_tokens + job.settings.max_answer_tokens
    exact = served_name(source.group, source.digest)
    model = folder / ("adapter" if source.plain_lora else "merged")
    model.mkdir()
    comparisons = (write_peft if source.plain_lora else write_merged)(job, model)
    shutil.copyfile(source.base.folder / "chat_template.jinja", folder / "chat_template.jinja")
    if source.plain_lora:
        rank = next(rank for rank in VLLM_RANKS if rank >= source.lora["r"])
        base = '"${BASE:-' + source.base_id + '}"'
        served = f"{base} --enable-lora --lora-modules {source.group}=./adapter {exact}=./adapter --max-lora-rank {rank}"
    else:
        served = f"./merged --served-model-name {source.group} {exact}"
    line = f'exec vllm serve {served} --chat-template ./chat_template.jinja --max-model-len {context} "$@"'
    (folder / "serve.sh").write_text(
        f'#!/bin/sh\n# Serves {source.group}; BASE names the base: a folder or a hub id.\ncd "$(dirname "$0")"\n{line}\n'
    )
    (folder / "serve.sh").chmod(0o755)
    return comparisons


WRITERS: dict[str, Callable[[Job, Path], list[Comparison]]] = {
    "peft": write_peft,
    "merged": write_merged,
    "gguf": write_gguf,
    "ollama": write_ollama,
    "vllm": write_vllm,
}


def _write_adapter(job: Job, folder: Path) -> Path | None:
    """adapter.gguf; None for what llama.cpp has no adapters of."""
    try:
        adapter_to_gguf(job.source.adapter, job.source.base.folder, folder / "adapter.gguf")
    except NotExportable as reason:
        job.say(f"no adapter.gguf: {reason}")
        return None
    return folder / "adapter.gguf"


def _write_merged(job: Job, folder: Path) -> list[Comparison]:
    """The merged model as GGUF in every quantisation."""
    with TemporaryDirectory(dir=folder.parent) as scratch:
        merge(job.source.adapter, job.source.base.folder, Path(scratch))
        models = {q: _write_model(job, Path(scratch), folder / f"merged-{q}.gguf", q) for q in job.quantisations}
    return [job.compare_gguf(model, None, quantisation) for quantisation, model in models.items()]


def _write_model(job: Job, model: Path, target: Path, quantisation: Quantisation) -> Path:
    def tick(done: int, of: int) -> None:
        if done % 100 == 0 or done == of:
            job.say(f"{target.name}: {done} of {of} tensors written")

    model_to_gguf(model, job.source.base.gguf, target, quantisation, tick)
    return target


def _modelfile(job: Job, model: str, template: str) -> str:
    settings = job.settings
    lines = [
        f"FROM ./{model}",
        f'TEMPLATE """{template}"""',
        f'PARAMETER stop "{special_tokens(job.source.base.folder)["eos_token"]}"',
        "PARAMETER temperature 0",
        f"PARAMETER num_ctx {job.context}",
        f"PARAMETER num_predict {settings.max_answer_tokens}",
    ]
    return "\n".join(lines) + "\n"


def _copy_tokenizer(source: Source, folder: Path) -> None:
    for name in TOKENIZER:
        if (source.base.folder / name).exists():
            shutil.copyfile(source.base.folder / name, folder / name)
