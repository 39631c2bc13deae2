"""The numbers of a model from which its memory and its time per token follow; read from config.json or GGUF where it lies here."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from slm_pipeline.records import Json

Architecture = Literal["transformer", "state-space", "hybrid"]


class Shape(BaseModel):
    """Layers and widths. A layer may have attention, a recurrent state, or both side by side (Falcon-H1, Hymba).

    `window`: tokens that the `windowed_layers` among the attention layers look back. Recurrent layers keep, in 32 bits, `state_width`
    x `state_size` numbers (Mamba-2: heads x head size x state size; Dao and Gu 2024) and the last `conv_width` - 1 inputs of a
    convolution over `state_width` + 2 x `state_groups` x `state_size` channels.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    layers: int = Field(gt=0)
    hidden: int = Field(gt=0)
    vocab: int = Field(gt=0)
    attention_layers: int = Field(0, ge=0)
    heads: int = Field(0, ge=0)
    kv_heads: int = Field(0, ge=0)
    head_size: int = Field(0, ge=0)
    window: int | None = Field(None, gt=0)
    windowed_layers: int = Field(0, ge=0)
    state_layers: int = Field(0, ge=0)
    state_width: int = Field(0, ge=0)
    state_size: int = Field(0, ge=0)
    state_groups: int = Field(1, ge=0)
    conv_width: int = Field(1, ge=1)
    tied: bool = Field(True, description="one matrix serves as embedding and as output")

    @property
    def architecture(self) -> Architecture:
        return "transformer" if not self.state_layers else "hybrid" if self.attention_layers else "state-space"

    @property
    def state_numbers(self) -> int:
        """Numbers of recurrent state in all layers together; the same at every length of context."""
        channels = self.state_width + 2 * self.state_groups * self.state_size
        return self.state_layers * (self.state_width * self.state_size + channels * (self.conv_width - 1))

    def seen(self, context: int) -> float:
        """Cached positions in all attention layers together, at a context of so many tokens."""
        windowed = min(context, self.window) if self.window else context
        return (self.attention_layers - self.windowed_layers) * context + self.windowed_layers * windowed


@dataclass(frozen=True)
class Facts:
    """What a folder or file says of the model in it."""

    params: int
    shape: Shape
    context: int | None
    chat_template: bool


def facts_of(path: Path) -> Facts:
    """Facts of a folder in Hugging Face form, or of a GGUF file. Raises ValueError that names what is missing."""
    return _of_gguf(path) if path.suffix == ".gguf" else _of_folder(path)


def _of_folder(folder: Path) -> Facts:
    config = folder / "config.json"
    if not config.exists():
        raise ValueError(f"{folder}: no config.json: give a model's folder in Hugging Face form, or a .gguf file")
    raw = json.loads(config.read_text())
    text = raw.get("text_config", raw)
    templates = (folder / "chat_template.jinja").exists() or "chat_template" in _json(folder / "tokenizer_config.json")
    return Facts(_weights(folder), shape_of_config(text, config), text.get("max_position_embeddings"), templates)


def shape_of_config(config: Json, file: Path | str = "config.json") -> Shape:
    """The shape that a Hugging Face configuration describes. Raises ValueError that names a missing key."""
    try:
        layers, hidden = config.get("num_hidden_layers") or config["n_layer"], config.get("hidden_size") or config["d_model"]
        kinds = _layer_kinds(config, layers)
        attention = sum(kind in ("attention", "full_attention", "sliding_attention", "both") for kind in kinds)
        states = sum(kind in ("mamba", "conv", "linear_attention", "both") for kind in kinds)
        shape = {"layers": layers, "hidden": hidden, "vocab": config["vocab_size"], "tied": config.get("tie_word_embeddings", True)}
        if attention:
            heads = config["num_attention_heads"]
            shape |= {
                "attention_layers": attention,
                "heads": heads,
                "kv_heads": config.get("num_key_value_heads") or heads,
                "head_size": config.get("head_dim") or hidden // heads,
            }
        if windowed := sum(kind == "sliding_attention" for kind in kinds):
            shape |= {"window": config["sliding_window"], "windowed_layers": windowed}
        return Shape(**shape, **(_state(config, hidden, states) if states else {}))
    except KeyError as missing:
        raise ValueError(f"{file}: no {missing}, without which the model's memory cannot be told") from None


def _layer_kinds(config: Json, layers: int) -> list[str]:
    kind = config.get("model_type", "")
    if kind in ("mamba", "mamba2", "falcon_mamba"):
        return ["mamba"] * layers
    if kind == "falcon_h1":
        return ["both"] * layers
    if pattern := config.get("hybrid_override_pattern"):
        return [{"M": "mamba", "*": "attention"}.get(letter, "mlp") for letter in pattern]
    if types := config.get("layer_types") or config.get("layers_block_type"):
        return ["mamba" if kind == "nemotron_h" and t == "linear_attention" else t for t in types]
    if (places := config.get("full_attn_idxs")) is not None:
        return ["attention" if i in places else "conv" for i in range(layers)]
    if (every := config.get("sliding_window_pattern") or config.get("_sliding_window_pattern")) and config.get("sliding_window"):
        return ["attention" if (i + 1) % every == 0 else "sliding_attention" for i in range(layers)]
    return ["attention"] * layers


def _state(config: Json, hidden: int, layers: int) -> Json:
    if "conv_L_cache" in config:
        return {"state_layers": layers, "state_width": hidden, "conv_width": config["conv_L_cache"], "state_groups": 0}
    heads = config.get("mamba_n_heads") or config.get("mamba_num_heads") or config.get("num_heads")
    size = config.get("mamba_d_head") or config.get("mamba_head_dim") or config.get("head_dim")
    inner = config.get("mamba_d_ssm") or (heads * size if heads and size else config.get("intermediate_size") or 2 * hidden)
    state = config.get("mamba_d_state") or config.get("ssm_state_size") or config["state_size"]
    groups = 0 if config.get("model_type") in ("mamba", "falcon_mamba") else config.get("mamba_n_groups") or config.get("n_groups") or 1
    width = config.get("mamba_d_conv") or config.get("conv_kernel") or 4
    return {"state_layers": layers, "state_width": inner, "state_size": state, "state_groups": groups, "conv_width": width}


def _weights(folder: Path) -> int:
    """Numbers in the folder's safetensors files, by their headers."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError(f"{folder}: no *.safetensors file")
    total = 0
    for file in files:
        with file.open("rb") as opened:
            header = json.loads(opened.read(struct.unpack("<Q", opened.read(8))[0]))
        total += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return total


def _of_gguf(file: Path) -> Facts:
    from gguf import GGUFReader

    reader = GGUFReader(file)
    keys = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.ggml.")}
    kind = keys["general.architecture"]
    own = {name.removeprefix(f"{kind}."): value for name, value in keys.items() if name.startswith(f"{kind}.")}
    layers, hidden = own["block_count"], own["embedding_length"]
    kv = own.get("attention.head_count_kv", own.get("attention.head_count", 0))
    by_layer = kv if isinstance(kv, list) else [0 if kind in ("mamba", "mamba2") else kv] * layers
    heads = own.get("attention.head_count", 0)
    heads = max(heads) if isinstance(heads, list) else heads
    shape = {"layers": layers, "hidden": hidden, "vocab": len(reader.fields["tokenizer.ggml.tokens"].data)}
    shape["tied"] = all(tensor.name != "output.weight" for tensor in reader.tensors)
    if attention := sum(n > 0 for n in by_layer):
        size = own.get("attention.key_length") or hidden // heads
        shape |= {"attention_layers": attention, "heads": heads, "kv_heads": max(by_layer), "head_size": size}
    if (window := own.get("attention.sliding_window")) and kind == "gemma3":
        shape |= {"window": window, "windowed_layers": layers - layers // 6}  # every sixth layer looks at everything
    states = layers if kind == "falcon-h1" else layers - attention
    if inner := own.get("ssm.inner_size"):
        groups = 0 if kind == "mamba" else own.get("ssm.group_count", 1)
        shape |= {"state_layers": states, "state_width": inner, "state_size": own["ssm.state_size"], "state_groups": groups}
        shape["conv_width"] = own["ssm.conv_kernel"]
    elif taps := own.get("shortconv.l_cache"):
        shape |= {"state_layers": states, "state_width": hidden, "state_groups": 0, "conv_width": taps}
    params = sum(int(tensor.n_elements) for tensor in reader.tensors)
    return Facts(params, Shape(**shape), own.get("context_length"), "tokenizer.chat_template" in reader.fields)


def _json(file: Path) -> Json:
    return json.loads(file.read_text()) if file.exists() else {}
