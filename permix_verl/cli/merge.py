"""Merge an adapter into its base as one Hugging Face folder, and check its log-probs against the adapter's."""

from permix_verl.checkpoints.merge import main

__all__ = ["main"]
