"""What a check is given and what it says."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Severity = Literal["ok", "warning", "error"]
EXIT_STATUS: Mapping[Severity, int] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check saw.

    Attributes:
        severity: "error" where a run would fail or not be what it is meant to be.
        text: what is there, with its value; of a problem, the problem.
        remedy: what to do about it; empty if nothing is wrong.
    """

    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Setup:
    """What is about to be run, as far as it is known.

    Attributes:
        model: hub name or folder.
        personas: pool that is trained on.
        run_dir: folder of the run.
        trainer: "grpo" or "sft".
        overrides: verl's, as the recipes give them.
        settings: the same by key.
        dev_personas: personas of that pool held out of training: their number, or keys (``development_personas``).
    """

    model: str | None = None
    personas: str = "train"
    run_dir: Path | None = None
    trainer: str = "grpo"
    overrides: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    dev_personas: str = ""

    @property
    def device(self) -> str:
        """ "cpu", "cuda", or "" where nothing is asked for."""
        return self.settings.get("trainer.device", "")

    def number(self, key: str, default: int) -> int:
        """A setting that is a whole number, or the default."""
        value = self.settings.get(key, "")
        return int(value) if value.isdigit() else default


@dataclass(frozen=True, slots=True)
class Check:
    """A named check."""

    name: str
    run: Callable[[Setup], Iterable[Finding]]


def ok(text: str) -> Finding:
    return Finding("ok", text)


def warning(text: str, remedy: str) -> Finding:
    return Finding("warning", text, remedy)


def error(text: str, remedy: str) -> Finding:
    return Finding("error", text, remedy)
