"""A PEFT LoRA adapter as a GGUF adapter, the form llama.cpp loads.

The format is that of llama.cpp's convert_lora_to_gguf.py: keys `general.type=adapter`, `adapter.type=lora`,
`adapter.lora.alpha`, and for every adapted weight its two factors under the base's GGUF tensor name.
"""

import json
import re
from pathlib import Path

import numpy as np

ARCHITECTURES = {"llama": "llama"}
PERMUTED = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}


def adapter_to_gguf(adapter: Path, base: Path, target: Path) -> None:
    """Write the adapter in folder `adapter`, made for the base in folder `base`, as the GGUF file `target`.

    Raises ValueError for an architecture whose tensor names are not known here.
    """
    from gguf import MODEL_ARCH_NAMES, GGUFWriter, get_tensor_name_map
    from safetensors.numpy import load_file

    config = json.loads((base / "config.json").read_text())
    if config["model_type"] not in ARCHITECTURES:
        raise ValueError(f"{config['model_type']!r} adapters cannot be written as GGUF; known: {', '.join(ARCHITECTURES)}")
    architecture = ARCHITECTURES[config["model_type"]]
    lora = json.loads((adapter / "adapter_config.json").read_text())
    enum = next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture)
    names = get_tensor_name_map(enum, config["num_hidden_layers"])

    writer = GGUFWriter(target, architecture)
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(lora["lora_alpha"]))
    for key, tensor in sorted(load_file(adapter / "adapter_model.safetensors").items()):
        module, side = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", key).groups()
        name = names.get_name(module)
        heads = config.get(PERMUTED.get(name.rsplit(".", 1)[-1], ""))
        if side == "B" and heads:
            tensor = _rotary_order(tensor, heads)
        writer.add_tensor(f"{name}.weight.lora_{side.lower()}", np.ascontiguousarray(tensor, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _rotary_order(rows: np.ndarray, heads: int) -> np.ndarray:
    """Output rows of a query or key projection, (heads * size, rank), from Hugging Face's half-split rotary order to
    llama.cpp's interleaved one."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)
