"""A run axis for LoRA adapters: many fine-tunings of one frozen Hugging Face model at once."""
