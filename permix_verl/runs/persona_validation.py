"""Accuracy by persona in a run's validations: worst, mean, best and PSS.

PSS is worst over best accuracy (arXiv 2604.08986, Eq. 1). The personas are those held out of training (DEV_PERSONAS),
or else all of the training pool; labels state which. The no-persona condition is not among them.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.personas.persona import NO_PERSONA, category_slug, slug_of
from permix_verl.runs.metrics import Metrics, validation_accuracy, validation_samples
from permix_verl.utils.files import write_atomic

COLUMNS = (
    "step",
    "personas",
    "held_out",
    "samples",
    "worst",
    "worst_persona",
    "worst_se",
    "mean",
    "mean_se",
    "best",
    "best_persona",
    "best_se",
    "pss",
    "no_persona",
    "no_persona_se",
    "others_mean",
)
"""Columns of ``robustness.csv``; unknown or undefined values are empty."""


@dataclass(frozen=True)
class ValidationPersonas:
    """Personas of a run's validation, from its data.

    Attributes:
        held_out: slugs of the personas without training rows; empty if none is held out.
        trained: whether any training row has a persona; False for plain RLVR.
        problems: validation problems; ``None`` if unknown.
        personas: slugs of all validation personas, if the user named the files; ``None``: all with a curve.
        problems_by_source: source -> its validation problems, if there are several.
    """

    held_out: frozenset[str] = frozenset()
    trained: bool = True
    problems: int | None = None
    personas: frozenset[str] | None = None
    problems_by_source: Mapping[str, int] = field(default_factory=dict, hash=False)

    @property
    def label(self) -> str:
        """Label of the personas, for figures and messages."""
        if self.held_out:
            return f"{len(self.held_out)} personas held out of training"
        return "personas seen in training" if self.trained else "no persona was trained on"


def read_validation_personas(data: Path) -> ValidationPersonas:
    """Read the validation personas from a data folder's manifest; without one, all count as trained on.

    If the user named training or validation files, the personas in their rows are used (from ``run.json``).
    """
    file, run = data / "manifest.json", data.parent / "run.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    own = json.loads(run.read_text(encoding="utf-8")).get("own_files") if run.is_file() else None
    if own and all(split["personas"] is not None for split in own.values()):
        return _from_own_files(own, manifest)
    return ValidationPersonas(
        held_out=frozenset(map(slug_of, manifest.get("dev_personas", ()))),
        trained=manifest.get("no_persona_probability", 0) < 1,
        problems=manifest.get("rows", {}).get("val_problems"),
        problems_by_source=manifest.get("rows", {}).get("val_problems_by_source", {}),
    )


def _from_own_files(own: Mapping[str, Any], manifest: Mapping[str, Any]) -> ValidationPersonas:
    train, val = (
        frozenset(slug_of(key) for key in own[split]["personas"] if key != NO_PERSONA) for split in ("train", "val")
    )
    return ValidationPersonas(
        held_out=val - train if train else frozenset(),
        trained=bool(train),
        # Unknown for the user's own rows: several may ask the same problem.
        problems=None if own["val"]["files"] else manifest.get("rows", {}).get("val_problems"),
        personas=val,
    )


@dataclass(frozen=True)
class PersonaValidation:
    """One validation: accuracy, the fraction of correct samples, by persona.

    Attributes:
        step: training steps done.
        accuracy: persona slug -> accuracy; of the held-out personas only, if there are any.
        samples: samples per persona, or ``None`` if unknown.
        no_persona: accuracy without a persona, or ``None``.
        others_mean: mean accuracy of the personas left out of ``accuracy``, or ``None``.
    """

    step: int
    accuracy: Mapping[str, float]
    samples: int | None = None
    no_persona: float | None = None
    others_mean: float | None = None

    @property
    def worst_persona(self) -> str:
        """Persona of the lowest accuracy; of several, the first name: the metrics come in no fixed order."""
        return min(sorted(self.accuracy), key=self.accuracy.__getitem__)

    @property
    def best_persona(self) -> str:
        """Persona of the highest accuracy; of several, the first name."""
        return max(sorted(self.accuracy), key=self.accuracy.__getitem__)

    @property
    def worst(self) -> float:
        return self.accuracy[self.worst_persona]

    @property
    def best(self) -> float:
        return self.accuracy[self.best_persona]

    @property
    def mean(self) -> float:
        return math.fsum(self.accuracy.values()) / len(self.accuracy)

    @property
    def pss(self) -> float | None:
        """Worst over best accuracy; ``None`` if both are 0."""
        return self.worst / self.best if self.best > 0 else None

    def standard_error(self, accuracy: float | None) -> float | None:
        """Return the binomial standard error of an accuracy; ``None`` if it or the number of samples is unknown.

        For a mean over personas it is an upper bound, reached if all solve the same problems. For the worst persona it
        is the error of that persona's accuracy, and not of the minimum, which is biased downwards.
        """
        if accuracy is None or not self.samples:
            return None
        return math.sqrt(accuracy * (1 - accuracy) / self.samples)

    def by_category(self, categories: Mapping[str, str]) -> dict[str, float]:
        """Return the mean accuracy over the personas of each category, by the category's slug.

        Args:
            categories: persona slug -> category; personas that it lacks are left out. Without any named category the
                result is empty.
        """
        known = {slug: categories[slug] for slug in self.accuracy if slug in categories}
        by_slug: dict[str, list[float]] = {}
        for slug, category in known.items() if any(known.values()) else ():
            by_slug.setdefault(category_slug(category), []).append(self.accuracy[slug])
        return {name: math.fsum(values) / len(values) for name, values in sorted(by_slug.items())}

    def record(self) -> dict[str, Any]:
        """Return all values by :data:`COLUMNS`, without ``held_out``."""
        return {
            "step": self.step,
            "personas": len(self.accuracy),
            "samples": self.samples,
            "worst": self.worst,
            "worst_persona": self.worst_persona,
            "worst_se": self.standard_error(self.worst),
            "mean": self.mean,
            "mean_se": self.standard_error(self.mean),
            "best": self.best,
            "best_persona": self.best_persona,
            "best_se": self.standard_error(self.best),
            "pss": self.pss,
            "no_persona": self.no_persona,
            "no_persona_se": self.standard_error(self.no_persona),
            "others_mean": self.others_mean,
        }

    def sentence(self) -> str:
        """Return a summary in one line."""
        pss = "undefined (nothing solved)" if self.pss is None else f"{self.pss:.3f}"
        text = (
            f"mean {self.mean:.3f}, worst {self.worst:.3f} ({self.worst_persona}), best {self.best:.3f} "
            f"({self.best_persona}), PSS {pss}"
        )
        if self.no_persona is not None:
            text += f", no persona {self.no_persona:.3f}"
        return text + (f", the other personas {self.others_mean:.3f}" if self.others_mean is not None else "")


def persona_validation(
    step: int, values: Mapping[str, float], personas: ValidationPersonas
) -> PersonaValidation | None:
    """Summarize a step's validation; ``None`` if it has no accuracy under any of the personas."""
    by_condition = validation_accuracy(values, personas.problems_by_source)
    slugs = by_condition if personas.personas is None else personas.personas
    by_persona = {slug: accuracy for slug, accuracy in by_condition.items() if slug != NO_PERSONA and slug in slugs}
    counted = {
        slug: accuracy for slug, accuracy in by_persona.items() if not personas.held_out or slug in personas.held_out
    }
    if not counted:
        return None
    others = [accuracy for slug, accuracy in by_persona.items() if slug not in counted]
    return PersonaValidation(
        step=step,
        accuracy=counted,
        samples=personas.problems * validation_samples(values) if personas.problems else None,
        no_persona=by_condition.get(NO_PERSONA),
        others_mean=sum(others) / len(others) if others else None,
    )


def persona_validations(metrics: Metrics, personas: ValidationPersonas) -> list[PersonaValidation]:
    """Summarize every validation of a run, by step; step 0 is the model before training."""
    validations = (persona_validation(step, values, personas) for step, values in metrics.items())
    return [validation for validation in validations if validation]


def write_robustness_csv(file: Path, metrics: Metrics, personas: ValidationPersonas) -> None:
    """Write one row per validation, with :data:`COLUMNS`, atomically; no file if there is no validation."""
    curve = persona_validations(metrics, personas)
    if not curve:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    held_out = int(bool(personas.held_out) or not personas.trained)
    table.writerows(validation.record() | {"held_out": held_out} for validation in curve)
    write_atomic(file, text.getvalue())
