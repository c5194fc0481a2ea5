"""From verl's LoRA shards to an adapter that is checked, merged, or kept as the best."""
