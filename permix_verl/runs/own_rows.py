"""Rows of data files that a user names, as the checks before a launch found them."""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from permix_verl.data.mix_settings import MixSettings
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.runs.own_mix import mixed_personas

AS_THEY_ARE = "without personas: validated as they are (permix mix --every-persona writes each under every persona)"


@dataclass(frozen=True)
class OwnRows:
    """Rows of the user's own files for a split.

    Attributes:
        rows: number of rows.
        personas: persona, including ``no_persona``, -> rows that have it in the files; empty if they have none yet.
        mix: settings by which training rows get their personas as they load, or ``None``.
        note: a sentence on rows that repeat others; empty without any.
    """

    rows: int
    personas: Counter[str] = field(default_factory=Counter)
    mix: MixSettings | None = None
    note: str = ""

    def keys(self) -> Collection[str]:
        """Return the personas that rows may have, in the files or in any epoch."""
        return mixed_personas(self.mix) if self.mix else self.personas.keys()

    def sentence(self, split: str) -> str:
        """Return a sentence on the rows, for a report."""
        text = f"{self.rows} {split} rows in the user's own files"
        if self.mix is None and not self.personas:
            return f"{text}, {AS_THEY_ARE}"
        if self.mix is None:
            return f"{text}, {self.rows - self.personas[NO_PERSONA]} of them with a persona"
        how = f"personas of pool {self.mix.pool} are mixed in as they load" if self.mix.mixes else "read as they are"
        return f"{text}, {how}" + (f"; {self.note}" if self.note else "")


def record_notes(own_files: Mapping[str, Any]) -> list[str]:
    """Return sentences on the user's own files from their record in ``run.json``; empty without any."""
    notes = []
    for split, record in own_files.items():
        files = ", ".join(record["files"])
        if mix := record.get("mix"):
            how = f"personas of pool {mix['pool']} are mixed in as they load"
            notes.append(
                f"{split} rows of {files}: {'read as they are' if record['personas'] == [NO_PERSONA] else how}"
            )
        elif split == "val" and files and record["personas"] == []:
            notes.append(f"{split} rows of {files} are {AS_THEY_ARE}")
    return notes
