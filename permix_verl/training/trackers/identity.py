"""Identity of a run in its trackers, kept in the run folder: launches of one run share it, another run never has it."""

import secrets
from pathlib import Path

from permix_verl.training.trackers.chosen import trackers_folder
from permix_verl.utils.files import write_atomic

_LENGTH = 21
"""Letters and digits of an identity: older versions of SwanLab accept no other length as a run's id."""


def run_identity(run_dir: Path) -> str:
    """Return the run's identity, drawn at random when the folder has none yet.

    A path would not do: a tracker would take a new run in an emptied folder for the old one.
    """
    file = trackers_folder(run_dir) / "identity"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, secrets.token_hex(_LENGTH)[:_LENGTH])
    return file.read_text().strip()
