"""What of a model learns, by `Configuration.method`: low-rank adapters in the upper layers, or all their weights; and its files.

LoRA (Hu et al. 2021), activated LoRA (Greenewald et al. 2025), rsLoRA (Kalajdzievski 2023), DoRA (Liu et al. 2024) and QLoRA (Dettmers
et al. 2023) are written as peft writes adapters. Full fine-tuning writes the tensors that changed, and only these, as
`model.safetensors` under the base's names.
"""

import json
import warnings
from collections.abc import Collection
from pathlib import Path

from slm_pipeline.prompting import answer_header, token_ids
from slm_pipeline.s5_finetune.configuration import Configuration, Method
from slm_pipeline.s5_finetune.passive_torch import torch

FULL = "model.safetensors"


class MethodUnavailable(RuntimeError):
    """This machine cannot train that way; says what is missing."""


def training_dtype() -> torch.dtype:
    """bf16 where the processor multiplies it natively, else fp32; a property of the machine, not of its load."""
    return torch.bfloat16 if torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def load_model(folder: Path, method: Method = "lora"):
    """The base model in `folder` as `method` trains it, on the GPU if there is one: weights in `training_dtype`; in fp32 for full
    fine-tuning, whose small steps bf16 would round away; in 4 bits (NF4, quantised twice) for QLoRA.

    Raises MethodUnavailable for QLoRA where bitsandbytes does not run.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    if method == "qlora":
        return _in_four_bits(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32 if method == "full" else training_dtype())
    return model.to("cuda") if torch.cuda.is_available() else model


def with_trainable(model, config: Configuration, excluded: Collection[str] = ()):
    """The model with what `config` trains, and nothing else, trainable: fresh, seeded adapters in its upper layers, or all weights
    there (with every layer, all weights of the model). `excluded` names linear modules that carry no adapter.

    Raises MethodUnavailable for activated LoRA where the chat template has no header of the answer."""
    if config.method == "full":
        return _upper_layers(model, config)
    from peft import LoraConfig, get_peft_model

    # peft asks transformers by a name that the latter has deprecated
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    torch.manual_seed(config.seed)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=2 * config.rank,
        use_rslora=config.method == "rslora",
        use_dora=config.method == "dora",
        target_modules=sorted(adapted_modules(model) - set(excluded)),
        layers_to_transform=config.trained_layers(layers_of(model)),
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(model, lora)
    if config.method == "alora":
        # not said before: peft's layers would look for the header, but training computes nothing that stands before it
        folder = Path(model.config._name_or_path)
        header = token_ids(answer_header(folder), folder)
        if len(header) < 2:
            raise MethodUnavailable(
                "activated LoRA needs a chat template that announces the assistant's answer; set SLM_TRAINING_METHOD=lora"
            )
        model.peft_config["default"].alora_invocation_tokens = header
    return model


def invocation(model) -> list[int]:
    """The tokens from whose last occurrence on the adapter of a model acts; empty if it acts everywhere."""
    adapters = getattr(model, "peft_config", {})
    return (adapters["default"].alora_invocation_tokens if adapters else None) or []


def layers_of(model) -> int:
    """The number of layers of a model's decoder."""
    return model.config.get_text_config().num_hidden_layers


def adapted_modules(model) -> set[str]:
    """Names of the linear modules of a decoder that can carry an adapter: all but the output projection of state-space layers,
    whose kernels take its weight and never call it (peft refuses it for the same reason)."""
    modules = model.get_decoder().named_modules()
    linear, read = set(), set()
    for name, module in modules:
        if isinstance(module, torch.nn.Linear):
            linear.add(name.rsplit(".", 1)[-1])
        if hasattr(module, "A_log"):
            read.add("out_proj")
    return linear - read


def save_trained(model, base_name: str, folder: Path) -> None:
    """Write what was trained, the same bytes for the same weights."""
    if not hasattr(model, "peft_config"):
        from safetensors.torch import save_file

        changed = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
        save_file(changed, folder / FULL, {"format": "pt"})
        return
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    # peft's config holds a set and a local path
    config |= {"base_model_name_or_path": base_name, "target_modules": sorted(config["target_modules"])}
    path.write_text(json.dumps(config, indent=1, sort_keys=True))


def _upper_layers(model, config: Configuration):
    trained = config.trained_layers(layers_of(model))
    model.requires_grad_(trained[0] == 0)
    for layer in trained:
        model.get_decoder().layers[layer].requires_grad_(True)
    return model


def _in_four_bits(folder: Path):
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise MethodUnavailable("training_method qlora needs bitsandbytes: pip install bitsandbytes, or set SLM_TRAINING_METHOD=lora")
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=training_dtype()
    )
    model = AutoModelForCausalLM.from_pretrained(folder, quantization_config=bits)
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # it would pack the weights, once evaluated, for a kernel without gradient
            module.support_avx512bf16_for_cpu = False
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
