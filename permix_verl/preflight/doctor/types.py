"""Types of the doctor: the setup that checks examine, and their findings."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from permix_verl.config.compose import RunConfig
from permix_verl.runs.trainers import TRAINERS

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

    def line(self, check: str) -> str:
        """Return the finding in one line, with its check's name."""
        return f"{self.severity:<8}{check:<15}{self.text}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True)
class Setup:
    """The run to check, as far as it is known.

    Attributes:
        model: hub name or folder.
        personas: training pool.
        run_dir: run folder.
        trainer: "grpo" or "sft".
        config: the run's composed configuration; ``None`` to check the machine only.
        dev_personas: personas of that pool held out of training: their number, or keys (``development_personas``).
    """

    model: str | None = None
    personas: str = "train"
    run_dir: Path | None = None
    trainer: str = "grpo"
    config: RunConfig | None = None
    dev_personas: str = ""

    @classmethod
    def of_run(cls, config: RunConfig) -> "Setup":
        """Return the setup of a run."""
        return cls(
            model=config[f"{TRAINERS[config.trainer].model}.path"],
            personas=config["permix.personas"],
            run_dir=Path(config["permix.run_dir"]),
            trainer=config.trainer,
            config=config,
            dev_personas=str(config.get("permix.dev_personas", "")),
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The configuration, by key; empty without one."""
        return {} if self.config is None else self.config

    @property
    def device(self) -> str:
        """Configured device: "cpu", "cuda", or "" if unset."""
        return str(self.settings.get("trainer.device") or "")

    def number(self, key: str, default: int) -> int:
        """Return a setting that is a whole number, or the default."""
        value = self.settings.get(key)
        return value if isinstance(value, int) else default


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
