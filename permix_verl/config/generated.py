"""Presets whose problems are generated: the lab's, and the real model's."""

from collections.abc import Mapping
from typing import Any

LEVELS: Mapping[str, str] = {"lab": "easy", "smollm2": "plain_one"}
"""Preset -> level of ``permix lab-problems``."""


def generates_problems(config: Any) -> bool:
    """Return whether the problems of a composed configuration are generated: its preset does, and no data are given."""
    return config["permix.preset"] in LEVELS and "permix.data" not in config.given


def generated_name(config: Any) -> str:
    """Return the name of a configuration's generated problems, in row ids and curves."""
    preset = str(config["permix.preset"])
    return "lab" if preset == "lab" else LEVELS[preset]


def generation_arguments(config: Any, held_out: bool = False) -> list[str]:
    """Return level, split and seed of a configuration's generated problems, for ``permix lab-problems``.

    Args:
        held_out: those on which supervised training measures its loss.
    """
    preset = config["permix.preset"]
    split = "validation" if held_out and preset != "lab" else "train"
    seed = ["--seed", "1"] if held_out and preset == "lab" else []  # the lab's levels have no split of their own for it
    return ["--level", LEVELS[preset], "--split", split, *seed]
