"""A model in Hugging Face form as one GGUF file, at three sizes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from slm_pipeline.s4_select.requantise import copy_keys
from slm_pipeline.s5_finetune.export.layout import llama_cpp_weights
from slm_pipeline.s5_finetune.export.quantise import Quantisation, quantised, tensor_types

WORDS = ("token_embd.weight", "output.weight")  # some models have more rows in them than there are words
FILE_TYPES = {"f16": 1, "q8_0": 7, "q4_k_m": 15}  # llama.h, enum llama_ftype


def model_to_gguf(
    folder: Path, like: Path, target: Path, quantisation: Quantisation, on_tensor: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Write the model in `folder` as the GGUF file `target`.

    Keys and vocabulary are those of `like`, the GGUF file of the base that the model was made from, and so are tensors that the
    folder has not (rotary factors). llama.cpp is told to add no first token: the chat template writes it. `on_tensor(done, of)` is
    called after every tensor. Raises NotExportable for an architecture whose layout is not known.
    """
    from gguf import GGUFReader, GGUFWriter

    reader = GGUFReader(like)
    architecture = reader.fields["general.architecture"].contents()
    words = len(reader.fields["tokenizer.ggml.tokens"].data)
    layers, experts = (_number(reader, f"{architecture}.{key}_count") for key in ("block", "expert"))
    shapes = {name: values.shape for name, values in llama_cpp_weights(folder)}
    types = tensor_types({name: shapes[name] for name in sorted(shapes, key=_place)}, quantisation, layers, experts)

    writer = GGUFWriter(target, architecture, use_temp_file=True)  # a large model does not fit into memory twice
    writer.add_file_type(FILE_TYPES[quantisation])
    writer.add_add_bos_token(False)
    copy_keys(reader, writer, {})
    for tensor in reader.tensors:
        if tensor.name not in types:
            writer.add_tensor(tensor.name, np.ascontiguousarray(tensor.data), raw_dtype=tensor.tensor_type)
    for done, (name, values) in enumerate(llama_cpp_weights(folder), start=1):
        if name in WORDS:
            values = values[:words]
        writer.add_tensor(name, quantised(values, types[name]), raw_dtype=types[name])
        on_tensor(done, len(types))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _number(reader, key: str) -> int:
    return reader.fields[key].contents() if key in reader.fields else 0


def _place(name: str) -> tuple[int, str]:
    """Layer by layer, as llama.cpp's rules count them."""
    return (int(name.split(".")[1]), name) if name.startswith("blk.") else (-1, name)
