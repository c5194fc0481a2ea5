"""Types of the doctor: the setup that checks examine, and their findings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Severity = Literal["ok", "warning", "error"]
EXIT_STATUS: Mapping[Severity, int] = {"ok": 0, "warning": 1, "error": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of a check.

    Attributes:
        severity: "error" if a run would fail, or would not do what it is meant to.
        text: the observation or the problem, with its value.
        remedy: the remedy; empty without a problem.
    """

    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Setup:
    """The run to check, as far as it is known.

    Attributes:
        model: hub name or folder.
        personas: training pool.
        run_dir: run folder.
        trainer: "grpo" or "sft".
        overrides: Hydra overrides for verl.
        settings: the overrides, key -> value.
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
        """Configured device: "cpu", "cuda", or "" if unset."""
        return self.settings.get("trainer.device", "")

    def number(self, key: str, default: int) -> int:
        """Return a setting that is a whole number, or the default."""
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
