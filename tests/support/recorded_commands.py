"""The commands that a verb would run, recorded in its own process."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from permix_verl.config.knobs import SCRIPT_KNOBS, by_name
from permix_verl.utils.commands import PERMIX

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class RecordedCommand:
    """A command of ``permix``: its verb, arguments and environment."""

    verb: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    def option(self, name: str) -> str:
        """Return the value behind an option."""
        return self.arguments[self.arguments.index(name) + 1]

    def knobs(self) -> dict[str, str]:
        """Return the KNOB=VALUE arguments."""
        pairs = (text.partition("=") for text in self.arguments)
        return {name: value for name, mark, value in pairs if mark and name.isupper()}


@dataclass
class CommandRecorder:
    """It stands in for ``run_command``: records the commands, and fails where one has a text among its words."""

    calls: list[RecordedCommand] = field(default_factory=list)
    fail: str | None = None
    status: int = 1

    def __call__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> int:
        assert tuple(command[: len(PERMIX)]) == PERMIX
        verb, *arguments = command[len(PERMIX) :]
        self.calls.append(RecordedCommand(verb, tuple(arguments), environment or {}))
        return self.status if self.fail is not None and self.fail in command else 0

    def of(self, verb: str) -> list[RecordedCommand]:
        return [call for call in self.calls if call.verb == verb]


def unset_knobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the knobs of the shell that runs the tests, and hide this machine's GPUs."""
    for name in (*by_name(), *SCRIPT_KNOBS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


def record_commands(monkeypatch: pytest.MonkeyPatch, module: str) -> CommandRecorder:
    """Record what a module would run, without the shell's knobs."""
    unset_knobs(monkeypatch)
    recorder = CommandRecorder()
    monkeypatch.setattr(f"{module}.run_command", recorder)
    return recorder


def run_script(name: str, *arguments: str, **knobs: str) -> subprocess.CompletedProcess[str]:
    """Run a script of recipes/ with this Python, in the environment that ``unset_knobs`` left."""
    environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable} | knobs
    command = ["bash", str(ROOT / "recipes" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
