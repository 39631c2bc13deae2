"""A random two-layer Llama made on the spot: in Hugging Face form, as GGUF for llama.cpp, and as a catalogue entry."""

import json
from pathlib import Path

NAME = "tiny-random"
SPECIALS = ["<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CATALOGUE = f"""\
- name: {NAME}
  hub_id: tests/{NAME}
  params: 100000
  architecture: transformer
  context: 2048
  licence: Apache-2.0
  open: true
  chat_template: true
  source: https://example.org/{NAME}
"""


def make_tiny_base(home: Path, spread: float = 0.02) -> Path:
    """Put the tiny base where `ensure_base` finds it, and into the user's catalogue; returns its folder. `spread` of its weights: with the
    default one it can hardly prefer a token to others, whatever it is taught."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = home / "models" / NAME
    folder.mkdir(parents=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("Ġ", "t")]
    words = [*SPECIALS, *alphabet, *("".join(pair) for pair in merges)]
    tokenizer = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=SPECIALS[0], eos_token=SPECIALS[1], pad_token=SPECIALS[1])
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(folder)
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=4,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=4096,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        initializer_range=spread,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    _write_gguf(config, words, merges, folder / "model.gguf")
    (home / "models" / "catalogue.yaml").write_text(CATALOGUE)
    return folder


def _write_gguf(config, words: list[str], merges: list[tuple[str, str]], path: Path) -> None:
    from gguf import GGUFWriter, TokenType

    from slm_pipeline.s5_finetune.export.layout import llama_cpp_weights

    writer = GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([TokenType.CONTROL if word in SPECIALS else TokenType.NORMAL for word in words])
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(False)
    writer.add_chat_template(CHAT_TEMPLATE)
    for name, values in llama_cpp_weights(path.parent):
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tool_calls(sessions: int = 60) -> list[str]:
    """Canonical JSONL lines of an agent with two tools; one session each."""
    tools = [_tool("get_weather", "city"), _tool("get_time", "zone")]
    cities = ["Rome", "Oslo", "Lima", "Cairo", "Quito", "Seoul", "Paris", "Delhi"]
    lines = []
    for i in range(sessions):
        name, key = ("get_weather", "city") if i % 3 else ("get_time", "zone")
        city = cities[i % len(cities)]
        text = f"{'weather' if i % 3 else 'time'} in {city} number {i}"
        call = {"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps({key: city})}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
        lines.append(
            json.dumps(
                {
                    "id": f"call-{i}",
                    "timestamp": 1_790_900_000 + i * 3600,
                    "agent": "weather-agent",
                    "session_id": f"session-{i}",
                    "client_id": "client",
                    "request": {"model": "teacher", "messages": [{"role": "user", "content": text}], "tools": tools},
                    "response": {"model": "teacher", "choices": [{"index": 0, "finish_reason": "tool_calls", "message": message}]},
                }
            )
        )
    return lines


def _tool(name: str, argument: str) -> dict:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "description": name.replace("_", " "), "parameters": parameters}}
