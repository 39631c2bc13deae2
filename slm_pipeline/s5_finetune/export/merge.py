"""An adapter merged into its base: one model that needs no PEFT."""

import shutil
import warnings
from pathlib import Path

from slm_pipeline.s5_finetune.export.layout import NotExportable
from slm_pipeline.s5_finetune.methods import invocation

NO_MERGE = "an activated LoRA acts on the answer only, so it cannot become a part of its base: export it as peft or gguf"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "generation_config.json")


def adapted_model(adapter: Path, base: Path):
    """The base in folder `base` with the adapter in folder `adapter` beside it, in fp32, not merged: what was trained.

    Of a full fine-tuning the folder holds the changed weights themselves (`model.safetensors`).
    """
    model = load_fp32(base)
    if not (adapter / "adapter_config.json").exists():
        from safetensors.torch import load_file

        unknown = model.load_state_dict(load_file(adapter / "model.safetensors"), strict=False).unexpected_keys
        if unknown:
            raise ValueError(f"{adapter / 'model.safetensors'} has weights that its base has not: {', '.join(unknown)}")
        return model
    from peft import PeftModel

    # peft asks transformers by a name that the latter has deprecated
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    return PeftModel.from_pretrained(model, adapter).eval()


def load_fp32(folder: Path):
    """The model in `folder`, to be asked."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def merge(adapter: Path, base: Path, folder: Path) -> None:
    """Write base and adapter as one model in Hugging Face form, tokenizer and chat template included.

    In fp32: rounded to bf16, a merged model says something else than its adapter (LoRA's sum is smaller than the rounding). Raises
    NotExportable for an activated LoRA.
    """
    model = adapted_model(adapter, base)
    if invocation(model):
        raise NotExportable(NO_MERGE)
    merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    merged.save_pretrained(folder)
    for name in TOKENIZER:
        if (base / name).exists():
            shutil.copyfile(base / name, folder / name)
