"""Configuration: one YAML per method on top of verl's own, composed by Hydra (docs/training.md)."""
