"""Keys of verl's configuration that a recorded run did not read, per version of verl: made by running, not by reading.

``tests/soak/test_unread_keys.py`` makes ``unread_keys.json``: a GRPO and an SFT run of the lab, each with validation,
saving and resuming. A key may matter in a run with other features, so it is no reason to refuse one.
"""

import functools
import importlib.metadata
import json
from pathlib import Path

FILE = Path(__file__).with_name("unread_keys.json")


def verl_version() -> str | None:
    """Return the installed verl's version, or ``None``."""
    try:
        return importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def known_unread(trainer: str, version: str | None = None) -> frozenset[str]:
    """Return the keys that a run with this trainer did not read; empty for a version without a record.

    Args:
        trainer: "grpo" or "sft".
        version: verl's; default: the installed one's.
    """
    records = json.loads(FILE.read_text())
    return frozenset(records.get(version or verl_version() or "", {}).get(trainer, ()))
