"""Warn of keys that the user set and no process of the run has read."""

import json
import time
from collections.abc import Collection

from permix_verl.config.compose import RunConfig, flatten
from permix_verl.runs.folder import RunFolder
from permix_verl.training.key_reads.unread import Reads, is_read_late, read_reads, unread_keys, warning_of
from permix_verl.utils.files import write_atomic

_SETTLE_S = 5.0
"""Seconds after the first step's metrics until its last keys are noted."""
_NOT_VERLS = ("permix.", "hydra.")


class UnreadKeyCheck:
    """Warning after the first step, and for keys of validation, saving and resume at the end.

    Args:
        config: the configuration of the launch.
        folder: the run folder.
        stamp: name of the launch.
    """

    def __init__(self, config: RunConfig, folder: RunFolder, stamp: str) -> None:
        self.config, self.folder = config, folder
        self.reads_folder = folder.key_reads / stamp
        self.warned: set[str] = set()
        self._first_step: float | None = None
        self._checked = False

    def update(self, new_steps: Collection[int]) -> None:
        """Check once, some seconds after this launch's first step.

        Args:
            new_steps: steps that this launch has logged.
        """
        if self._checked or not new_steps:
            return
        if self._first_step is None:
            self._first_step = time.monotonic()
        if time.monotonic() - self._first_step < _SETTLE_S:
            return
        self._checked = True
        reads = read_reads(self.reads_folder)
        self._warn(reads, [key for key in given_keys(self.config) if not is_read_late(key)])

    def finish(self) -> None:
        """Check all keys at the end of a launch, and write what was read to ``key_reads.json``."""
        reads = read_reads(self.reads_folder)
        if not reads.processes:
            return
        record = {
            "set_by_user_and_unread": self._warn(reads, given_keys(self.config)),
            "set_by_recipe_and_unread": unread_keys(self.config, reads.keys, self.config.own),
            "processes": reads.processes,
            "lookups": reads.lookups,
            "seconds": round(reads.seconds, 3),
        }
        write_atomic(self.folder.path / "key_reads.json", json.dumps(record, indent=2) + "\n")

    def _warn(self, reads: Reads, keys: Collection[str]) -> list[str]:
        """Name the unread ones of some keys, each once; return them."""
        if not reads.processes:  # another cluster's nodes without this file system
            return []
        unread = unread_keys(self.config, reads.keys, keys)
        for key in unread:
            if key not in self.warned:
                self.warned.add(key)
                print(f"! {warning_of(self.config, key, reads.keys)}", flush=True)
        return unread


def given_keys(config: RunConfig) -> list[str]:
    """Return the keys of verl that the user set, sections by their values."""
    keys: list[str] = []
    for key, value in config.given.items():
        if "." in key and not key.startswith(_NOT_VERLS):
            keys += flatten({key: value}) if isinstance(value, dict) else [key]
    return keys
