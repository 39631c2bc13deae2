"""A LoRA adapter of PEFT as a GGUF adapter, the form llama.cpp loads beside a base.

The format is that of llama.cpp's convert_lora_to_gguf.py: keys `general.type=adapter`, `adapter.type=lora`,
`adapter.lora.alpha`, of an activated LoRA also `adapter.alora.invocation_tokens`, and for every adapted weight its two factors under
the base's GGUF tensor name.
"""

import json
import re
from pathlib import Path

import numpy as np

from slm_pipeline.records import Json
from slm_pipeline.s5_finetune.export.layout import ARCHITECTURES, NotExportable, llama_cpp_rows, read_config

MERGE = "its merged model can be written instead"


def adapter_to_gguf(adapter: Path, base: Path, target: Path) -> None:
    """Write the adapter in folder `adapter`, made for the base in folder `base`, as the GGUF file `target`.

    Raises NotExportable for an architecture whose layout is not known, and for what is no LoRA adapter (DoRA, full fine-tuning).
    """
    from gguf import GGUFValueType, GGUFWriter, Keys
    from safetensors.numpy import load_file

    config = read_config(base)
    writer = GGUFWriter(target, ARCHITECTURES[config["model_type"]])
    writer.add_string("general.type", "adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", _alpha(adapter))
    if header := _lora(adapter).get("alora_invocation_tokens"):
        # llama.cpp's server activates one token before the sequence that it finds
        writer.add_key_value(Keys.Adapter.ALORA_INVOCATION_TOKENS, header[1:], GGUFValueType.ARRAY, GGUFValueType.UINT32)
    factors = load_file(adapter / "adapter_model.safetensors")
    for key in sorted(factors):
        found = re.fullmatch(r"base_model\.model\.(.+)\.lora_([AB])\.weight", key)
        if found is None:
            raise NotExportable(f"llama.cpp's adapters have no place for {key}; {MERGE}")
        if found[2] == "B":
            inputs = factors[key.replace("lora_B", "lora_A")]
            for name, outputs in llama_cpp_rows(f"{found[1]}.weight", factors[key], config):
                writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(inputs, dtype=np.float32))
                writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(outputs, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _lora(adapter: Path) -> Json:
    """PEFT's configuration of the adapter."""
    if not (adapter / "adapter_config.json").exists():
        raise NotExportable(f"a full fine-tuning is no adapter; {MERGE}")
    return json.loads((adapter / "adapter_config.json").read_text())


def _alpha(adapter: Path) -> float:
    """llama.cpp scales by alpha / rank, rsLoRA by alpha / sqrt(rank) (Kalajdzievski 2023): this alpha gives the same."""
    lora = _lora(adapter)
    if lora.get("use_dora"):
        raise NotExportable(f"llama.cpp's adapters cannot say DoRA, which changes the length of each output's weights; {MERGE}")
    return float(lora["lora_alpha"]) * (lora["r"] ** 0.5 if lora.get("use_rslora") else 1.0)
