"""How llama.cpp names and lays out the weights of a model in Hugging Face form: the rules of its conversion scripts (conversion/*.py).

What a rule does to the output rows of a weight it does to those of a LoRA factor B too: both hold one row for each output.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from slm_pipeline.records import Json

ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "smollm3": "smollm3",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
    "mamba2": "mamba2",
    "falcon_h1": "falcon-h1",
    "lfm2": "lfm2",
    "granitemoehybrid": "granitehybrid",
}
"""llama.cpp's name of an architecture by `model_type` of config.json, for those whose rules are known here."""

INTERLEAVED = {"llama", "smollm3", "granitehybrid"}
"""Architectures whose rotary pairs llama.cpp keeps side by side; Hugging Face has their halves apart."""


class NotExportable(ValueError):
    """A model or adapter has no such form; says why, and what to do instead."""


def read_config(base: Path) -> Json:
    """config.json of the model in folder `base`. Raises NotExportable for an architecture whose rules are not known here."""
    config = json.loads((base / "config.json").read_text())
    if config["model_type"] not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise NotExportable(f"{config['model_type']!r} cannot be written as GGUF; known are {known}. Export as peft, merged or vllm")
    return config


def llama_cpp_rows(weight: str, rows: np.ndarray, config: Json) -> list[tuple[str, np.ndarray]]:
    """llama.cpp's name of a weight (with its suffix) and its rows (outputs, ...) in llama.cpp's order and scale; two of each where
    Hugging Face has two matrices in one. Raises NotExportable if llama.cpp has no such weight."""
    if config["model_type"] == "granitemoehybrid":
        return [(llama_cpp_name(part, config), _ordered(part, each, config)) for part, each in _granite_parts(weight, rows, config)]
    return [(llama_cpp_name(weight, config), _ordered(weight, rows, config))]


def llama_cpp_name(weight: str, config: Json) -> str:
    """llama.cpp's name of a weight. Raises NotExportable if it has none."""
    architecture = ARCHITECTURES[config["model_type"]]
    weight = re.sub(r"\.dt_bias$", ".dt_proj.bias", weight)
    name = _names(architecture, config["num_hidden_layers"]).get_name(weight, try_suffixes=(".weight", ".bias"))
    if name is None:
        raise NotExportable(f"llama.cpp's {architecture} has no weight for {weight}")
    return name


def llama_cpp_weights(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Name and fp32 values of every weight of the model in `folder`, as llama.cpp has them; experts of a layer as one."""
    config = read_config(folder)
    experts: dict[str, dict[int, np.ndarray]] = {}
    for weight, values in _weights(folder):
        if found := re.fullmatch(r"(.+\.experts)\.(\d+)\.(.+)", weight):
            of_layer = experts.setdefault(f"{found[1]}.{found[3]}", {})
            of_layer[int(found[2])] = values
            continue
        for name, rows in llama_cpp_rows(weight, values, config):
            yield name, _values(weight, name, rows, config)
    for weight, by_number in sorted(experts.items()):
        yield llama_cpp_name(weight, config), np.stack([by_number[number] for number in sorted(by_number)])


@cache
def _names(architecture: str, layers: int):
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    return get_tensor_name_map(next(key for key, name in MODEL_ARCH_NAMES.items() if name == architecture), layers)


def _weights(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118, it is no dictionary
                yield name, tensors.get_tensor(name).float().numpy()


def _values(weight: str, name: str, values: np.ndarray, config: Json) -> np.ndarray:
    if config["model_type"] == "gemma3_text" and weight.endswith("norm.weight"):
        return values + 1  # llama.cpp's norm does not add it
    if name.endswith("ssm_a"):
        return -np.exp(values)[:, None]
    if name.endswith("ssm_d"):
        return values[:, None]
    if name.endswith("ssm_norm.weight"):
        return values.reshape(config.get("n_groups") or config["mamba_n_groups"], -1)
    if "conv" in name and values.ndim == 3:
        return values[:, 0]
    return values


def _granite_parts(weight: str, rows: np.ndarray, config: Json) -> list[tuple[str, np.ndarray]]:
    """Gate and up projection of Granite's feed-forward layers are one matrix; and without experts the shared expert is the layer."""
    shared = "mlp.shared_expert" if config["num_local_experts"] else "mlp"
    weight = (
        weight.replace("shared_mlp", shared).replace("block_sparse_moe.router.layer", "mlp.gate").replace("block_sparse_moe", "mlp.experts")
    )
    if "input_linear" in weight:
        gate, up = np.split(rows, 2, axis=-2)
        return [(weight.replace("input_linear", "gate_proj"), gate), (weight.replace("input_linear", "up_proj"), up)]
    return [(weight.replace("output_linear", "down_proj"), rows)]


def _ordered(weight: str, rows: np.ndarray, config: Json) -> np.ndarray:
    part = llama_cpp_name(weight, config).rsplit(".", 1)[0].rsplit(".", 1)[-1]
    if ARCHITECTURES[config["model_type"]] in INTERLEAVED and part in ("attn_q", "attn_k"):
        return _interleaved(rows, config["num_attention_heads" if part == "attn_q" else "num_key_value_heads"])
    if config["model_type"] == "falcon_h1":
        return rows * np.asarray(_falcon_h1_scale(part, config), rows.dtype).reshape(-1, *[1] * (rows.ndim - 1))
    return rows


def _interleaved(rows: np.ndarray, heads: int) -> np.ndarray:
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(rows.shape)


def _falcon_h1_scale(part: str, config: Json) -> float | np.ndarray:
    """Falcon-H1's multipliers (Zuo et al. 2025, section 2.4), which llama.cpp has in the weights."""
    attention = config["attention_in_multiplier"]
    if part == "ssm_in":
        state = config["mamba_n_groups"] * config["mamba_d_state"]
        sizes = [config["mamba_d_ssm"], config["mamba_d_ssm"], state, state, config["mamba_n_heads"]]
        return config["ssm_in_multiplier"] * np.repeat(config["ssm_multipliers"], sizes)
    return {
        "attn_q": attention,
        "attn_k": attention * config["key_multiplier"],
        "attn_v": attention,
        "attn_output": config["attention_out_multiplier"],
        "ssm_out": config["ssm_out_multiplier"],
        "ffn_gate": config["mlp_multipliers"][0],
        "ffn_down": config["mlp_multipliers"][1],
        "output": config["lm_head_multiplier"],
        "token_embd": config["embedding_multiplier"],
    }.get(part, 1.0)
