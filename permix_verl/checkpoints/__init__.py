"""LoRA checkpoints of verl: export as an adapter, check it, merge it, keep the best."""
