"""Random two-layer models of many architectures, made on the spot: in Hugging Face form, with tokenizer and chat template, and as GGUF."""

import json
from pathlib import Path

from slm_pipeline_tests.tiny import CHAT_TEMPLATE, SPECIALS

SHAPE = {"hidden_size": 64, "num_hidden_layers": 2, "initializer_range": 0.1}
ATTENTION = SHAPE | {"intermediate_size": 128, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2048}
MULTIPLIERS = {
    "lm_head_multiplier": 0.9,
    "embedding_multiplier": 1.2,
    "mlp_multipliers": [0.8, 1.1],
    "key_multiplier": 0.7,
    "attention_in_multiplier": 1.3,
    "attention_out_multiplier": 0.9,
    "ssm_multipliers": [0.6, 0.9, 1.1, 1.2, 0.8],
    "ssm_in_multiplier": 1.1,
    "ssm_out_multiplier": 0.7,
}
"""Falcon-H1 scales the outputs of its layers by these; all 1 would hide whether a conversion minds them."""

CONFIGURATIONS = {
    "llama": ("LlamaConfig", ATTENTION),
    "qwen": ("Qwen3Config", ATTENTION | {"head_dim": 32}),
    # every layer of the first five looks back no further than its window; with larger weights its embeddings, which it scales up,
    # drown what the layers say
    "gemma": ("Gemma3TextConfig", ATTENTION | {"head_dim": 32, "sliding_window": 32, "initializer_range": 0.02}),
    "phi": ("Phi3Config", ATTENTION | {"original_max_position_embeddings": 2048}),
    "mamba2": ("Mamba2Config", SHAPE | {"num_heads": 4, "head_dim": 32, "n_groups": 1, "state_size": 16, "chunk_size": 16}),
    "falcon_h1": (
        "FalconH1Config",
        ATTENTION
        | MULTIPLIERS
        | {"head_dim": 32, "mamba_d_ssm": 64, "mamba_n_heads": 2, "mamba_d_head": 32, "mamba_d_state": 16, "mamba_chunk_size": 16},
    ),
    "lfm2": ("Lfm2Config", ATTENTION | {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False}),
    "moe": (
        "Qwen3MoeConfig",
        ATTENTION | {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "norm_topk_prob": True},
    ),
}
GRANITE = ATTENTION | {
    "layer_types": ["linear_attention", "full_attention"],
    "shared_intermediate_size": 128,
    "position_embedding_type": "nope",
    "mamba_n_heads": 4,
    "mamba_d_head": 32,
    "mamba_d_state": 16,
    "mamba_chunk_size": 16,
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
    "residual_multiplier": 0.8,
    "logits_scaling": 2.0,
}
ARCHITECTURES = tuple(CONFIGURATIONS)
RELATED = {
    "mistral": ("MistralConfig", ATTENTION | {"head_dim": 32, "sliding_window": None}),
    "qwen2": ("Qwen2Config", ATTENTION),
    "smollm3": ("SmolLM3Config", ATTENTION | {"no_rope_layers": [1, 1]}),
    "granite": ("GraniteMoeHybridConfig", GRANITE | {"num_local_experts": 0, "num_experts_per_tok": 0}),
    "granite_moe": ("GraniteMoeHybridConfig", GRANITE | {"num_local_experts": 4, "num_experts_per_tok": 2}),
}
"""Others that llama.cpp knows."""
HYBRID = ("lfm2", "granitemoehybrid")  # only some of their layers attend


def make_tiny_model(architecture: str, folder: Path) -> Path:
    """Write a random model of one of ARCHITECTURES or RELATED into `folder`, the same bytes every time; returns the folder."""
    import torch
    import transformers

    folder.mkdir(parents=True, exist_ok=True)
    words = _write_tokenizer(folder)
    kind, shape = (CONFIGURATIONS | RELATED)[architecture]
    special = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    config = getattr(transformers, kind)(vocab_size=words, **shape, **special)
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for vector in (p for p in model.parameters() if p.ndim == 1):  # norms that are all ones would hide a conversion that loses them
            vector.add_(torch.randn_like(vector), alpha=0.1)
    model.save_pretrained(folder)
    return folder


def add_gguf(folder: Path) -> Path:
    """Write the model in `folder` as `model.gguf` beside it, in fp16; returns the file."""
    from slm_pipeline.s5_finetune.export import model_to_gguf

    keys = folder / "keys.gguf"
    _write_keys(folder, keys)
    model_to_gguf(folder, keys, folder / "model.gguf", "f16")
    keys.unlink()
    return folder / "model.gguf"


def make_tiny_adapter(base: Path, folder: Path, method: str = "lora") -> Path:
    """Write what training by `method` would leave, with strong random weights, into `folder`; returns it."""
    import torch

    from slm_pipeline.s5_finetune.configuration import Configuration
    from slm_pipeline.s5_finetune.methods import load_model, save_trained, with_trainable

    model = with_trainable(load_model(base, method).float(), Configuration(method, 4, 1.0, 1e-3, 1, 4, 1, 7))
    torch.manual_seed(3)
    with torch.no_grad():
        for p in (p for p in model.parameters() if p.requires_grad):
            p.add_(torch.randn_like(p), alpha=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    save_trained(model, base.name, folder)
    return folder


def _write_keys(folder: Path, target: Path) -> None:
    """A GGUF file without any weight: what llama.cpp's conversion scripts say of such a model and its tokenizer."""
    from gguf import GGUFWriter, TokenType

    from slm_pipeline.s5_finetune.export.layout import ARCHITECTURES as NAMES

    config = json.loads((folder / "config.json").read_text())
    tokenizer = json.loads((folder / "tokenizer.json").read_text())["model"]
    writer = GGUFWriter(target, NAMES[config["model_type"]])
    writer.add_file_type(0)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config.get("max_position_embeddings", 2048))
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config.get("intermediate_size", 0))
    writer.add_layer_norm_rms_eps(config.get("rms_norm_eps") or config.get("norm_eps") or config["layer_norm_epsilon"])
    attends = [kind == "full_attention" for kind in config.get("layer_types", [])] if config["model_type"] in HYBRID else []
    if heads := config.get("num_attention_heads"):
        kv_heads = config["num_key_value_heads"]
        size = config.get("head_dim") or config["hidden_size"] // heads
        writer.add_head_count_kv([kv_heads if one else 0 for one in attends] if attends else kv_heads)
        writer.add_key_length(size)
        writer.add_value_length(size)
        writer.add_rope_dimension_count(size)
        rope = config["rope_parameters"]
        writer.add_rope_freq_base(rope.get("sliding_attention", rope)["rope_theta"])
    writer.add_head_count(heads or 0)
    if config["model_type"] in ("gemma3_text", "phi3"):
        writer.add_sliding_window(config["sliding_window"] or 0)
    if config["model_type"] == "phi3":
        writer.add_rope_scaling_orig_ctx_len(config["original_max_position_embeddings"])
    if config["model_type"] == "lfm2":
        writer.add_shortconv_l_cache(config["conv_L_cache"])
    if config["model_type"] == "granitemoehybrid":
        writer.add_attention_scale(config["attention_multiplier"])
        writer.add_embedding_scale(config["embedding_multiplier"])
        writer.add_residual_scale(config["residual_multiplier"])
        writer.add_logit_scale(config["logits_scaling"])
        writer.add_rope_scaling_finetuned(False)
        writer.add_expert_shared_feed_forward_length(config["shared_intermediate_size"])
    if experts := config.get("num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config["num_experts_per_tok"])
        writer.add_expert_feed_forward_length(config.get("moe_intermediate_size") or config["intermediate_size"])
    if state := config.get("state_size") or config.get("mamba_d_state"):
        writer.add_ssm_conv_kernel(config.get("conv_kernel") or config["mamba_d_conv"])
        writer.add_ssm_inner_size(config.get("mamba_d_ssm") or (config.get("expand") or config["mamba_expand"]) * config["hidden_size"])
        writer.add_ssm_state_size(state)
        writer.add_ssm_time_step_rank(config.get("mamba_n_heads") or config["num_heads"])
        writer.add_ssm_group_count(config.get("mamba_n_groups") or config["n_groups"])
    words = sorted(tokenizer["vocab"], key=tokenizer["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([TokenType.CONTROL if word in SPECIALS else TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_tokenizer(folder: Path) -> int:
    """A byte-level BPE without any merge but one; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    merges = [("Ġ", "t")]
    words = [*SPECIALS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIALS[0], eos_token=SPECIALS[1], pad_token=SPECIALS[1])
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    return len(words)
