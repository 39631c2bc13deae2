"""S5: LoRA fine-tuning of one adapter per group."""
