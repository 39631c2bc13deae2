"""Adapters in the forms that others run: PEFT, merged safetensors, GGUF, Ollama, vLLM."""

from slm_pipeline.s5_finetune.export.gguf_adapter import adapter_to_gguf
from slm_pipeline.s5_finetune.export.gguf_model import model_to_gguf
from slm_pipeline.s5_finetune.export.layout import NotExportable

__all__ = ["NotExportable", "adapter_to_gguf", "model_to_gguf"]
