"""The methods: one file of the configuration each."""

from collections.abc import Mapping

METHODS: Mapping[str, str] = {
    "permix_grpo": "grpo",
    "rlvr_grpo": "grpo",
    "sft": "sft",
    "permix_sft": "sft",
    "seqkd": "sft",
}
"""Configuration of a method -> trainer."""
