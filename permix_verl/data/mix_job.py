"""A job of ``permix mix``, and its summary."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.data.mix_settings import MixSettings


@dataclass(frozen=True)
class MixJob:
    """A mix to make.

    Attributes:
        settings: pool, seed, policy and the like.
        inputs: parquet files in verl's schema, mixed as one data set: a row id may not stand for two problems.
        out: folder, or a ``.parquet`` file for one input.
        epoch: epoch whose personas are written into the prompts.
        every_persona: for validation: write each row under personas of the pool and without one, in place of the one
            that it draws.
        val_personas: number of those personas, at most.
        tokenizer: hub name or folder; if it is given, rows too long under some persona are dropped.
        max_prompt_length: limit in tokens for that.
        template_kwargs: keyword arguments of the chat template.
        key: name of the chat column.
    """

    settings: MixSettings
    inputs: tuple[Path, ...]
    out: Path
    epoch: int = 0
    every_persona: bool = False
    val_personas: int = 25
    tokenizer: str | None = None
    max_prompt_length: int = 256
    template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    key: str = "prompt"


@dataclass
class MixSummary:
    """Summary of a mix.

    Attributes:
        files: input -> output.
        personas: personas that rows may have, development personas excluded.
        conditions: rows made of each; 1 if a persona was drawn.
        rows: rows read.
        dropped: rows that are too long under some persona.
        written: persona key, or ``no_persona``, -> rows.
        repeats: a sentence on rows that repeat others; empty without any.
        own_system: rows with a system message of their own.
    """

    files: dict[Path, Path]
    personas: int
    conditions: int
    rows: int
    dropped: int
    repeats: str
    own_system: int
    written: Counter[str] = field(default_factory=Counter)
