"""Results of a finished run as its trackers get them: figure, table of validations, checks, completions."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from permix_verl.config.compose import flatten
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.metrics import read_metrics
from permix_verl.training.observability.persona_means import PERSONAS_CSV
from permix_verl.training.trackers.completions import sample_completions


@dataclass(frozen=True)
class FinalResults:
    """Results of a finished run; a path is empty if there is no such file.

    Attributes:
        project, name: project and name of the run, as verl passes them to the trackers.
        step: last step in the run's metrics.
        figure: ``curves.png``.
        robustness: ``robustness.csv``.
        verdict: ``verdict.json``.
        checks: the numbers and flags in ``verdict.json``, by dotted key.
        problems: failed checks.
        completions: rows of ``permix_verl.training.trackers.completions``.
        personas: ``personas.csv``.
    """

    project: str
    name: str
    step: int
    figure: str
    robustness: str
    verdict: str
    checks: Mapping[str, float]
    problems: Sequence[str]
    completions: Sequence[Mapping[str, Any]]
    personas: str = ""

    @property
    def files(self) -> list[str]:
        return [file for file in (self.figure, self.robustness, self.verdict, self.personas) if file]

    @property
    def outcome(self) -> str:
        """Outcome of the checks in one line; empty if the run has none."""
        if not self.verdict:
            return ""
        return f"failed: {'; '.join(self.problems)}" if self.problems else "passed"

    def robustness_rows(self) -> list[dict[str, str]]:
        """Return the rows of ``robustness.csv``."""
        if not self.robustness:
            return []
        with open(self.robustness, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "FinalResults":
        return cls(**json.loads(text))


def collect_results(config: Mapping[str, Any], folder: RunFolder) -> FinalResults:
    """Read a run's results from its folder."""
    verdict = json.loads(folder.run_checks.read_text()) if folder.run_checks.is_file() else {}
    numbers = {
        key: float(value)
        for key, value in flatten(verdict).items()
        if isinstance(value, int | float)  # a flag is a number, too
    }
    return FinalResults(
        project=str(config["trainer.project_name"]),
        name=str(config["trainer.experiment_name"]),
        step=max(read_metrics(folder.metrics), default=0),
        figure=_existing(folder.path / "curves.png"),
        robustness=_existing(folder.robustness_csv),
        verdict=_existing(folder.run_checks),
        checks=numbers,
        problems=[str(problem) for problem in verdict.get("problems", [])],
        completions=sample_completions(folder.path),
        personas=_existing(folder.path / PERSONAS_CSV),
    )


def _existing(file: Path) -> str:
    return str(file.resolve()) if file.is_file() else ""
