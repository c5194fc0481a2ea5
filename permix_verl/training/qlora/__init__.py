"""QLoRA: a 4-bit base (NF4) under verl's FSDP engine (arXiv 2305.14314)."""
