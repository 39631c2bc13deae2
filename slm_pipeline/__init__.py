"""Replace an agent's LLM calls by small language models fine-tuned on its own traffic, in six steps."""
