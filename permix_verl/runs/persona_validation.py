"""How evenly a run's validations come out over its personas: worst, mean, best and PSS of each.

PSS is worst over best (the paper, Eq. 1). The personas are those that were held out of training
(DEV_PERSONAS), or, without such, all of the training pool: a curve over personas that were trained
on, which is then said wherever it is shown. The arm without a persona is none of them.
"""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.personas.pool import NO_PERSONA, slug_of
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
"""Of ``robustness.csv``. What is unknown or undefined is empty."""


@dataclass(frozen=True)
class Arms:
    """What a run's data say about the personas of its validation.

    Attributes:
        held_out: slugs of the personas that no training row gets; empty if none is held out.
        trained: whether training rows have personas at all; plain RLVR's have none.
        problems: of a validation; ``None`` where the data do not say.
        personas: slugs of all that validation has, where the user named its files; ``None``: whatever has a curve.
    """

    held_out: frozenset[str] = frozenset()
    trained: bool = True
    problems: int | None = None
    personas: frozenset[str] | None = None

    @property
    def label(self) -> str:
        """Of which personas a figure is, as every figure says it."""
        if self.held_out:
            return f"{len(self.held_out)} personas held out of training"
        return "personas seen in training" if self.trained else "no persona was trained on"


def read_arms(data: Path) -> Arms:
    """From the manifest of a run's data; without a manifest, as if all were trained on.

    Where the user named the files that are trained on or validated with, their rows say it (``run.json``).
    """
    file, run = data / "manifest.json", data.parent / "run.json"
    manifest = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    own = json.loads(run.read_text(encoding="utf-8")).get("own_files") if run.is_file() else None
    if own and all(split["personas"] is not None for split in own.values()):
        return _arms_of(own, manifest)
    return Arms(
        held_out=frozenset(map(slug_of, manifest.get("dev_personas", ()))),
        trained=manifest.get("no_persona_probability", 0) < 1,
        problems=manifest.get("rows", {}).get("val_problems"),
    )


def _arms_of(own: Mapping[str, Any], manifest: Mapping[str, Any]) -> Arms:
    seen, asked = (
        frozenset(slug_of(key) for key in own[split]["personas"] if key != NO_PERSONA) for split in ("train", "val")
    )
    return Arms(
        held_out=asked - seen if seen else frozenset(),
        trained=bool(seen),
        # Of the user's own rows it is not known which of them ask the same.
        problems=None if own["val"]["files"] else manifest.get("rows", {}).get("val_problems"),
        personas=asked,
    )


@dataclass(frozen=True)
class Robustness:
    """One validation. Accuracies are shares of right samples.

    Attributes:
        step: training steps done.
        accuracy: of each persona that counts, by slug.
        samples: of each persona, or ``None``.
        no_persona: accuracy without a persona, or ``None``.
        others_mean: of the personas that are not held out, where some are; else ``None``.
    """

    step: int
    accuracy: Mapping[str, float]
    samples: int | None = None
    no_persona: float | None = None
    others_mean: float | None = None

    @property
    def worst_persona(self) -> str:
        return min(self.accuracy, key=self.accuracy.__getitem__)

    @property
    def best_persona(self) -> str:
        return max(self.accuracy, key=self.accuracy.__getitem__)

    @property
    def worst(self) -> float:
        return self.accuracy[self.worst_persona]

    @property
    def best(self) -> float:
        return self.accuracy[self.best_persona]

    @property
    def mean(self) -> float:
        return sum(self.accuracy.values()) / len(self.accuracy)

    @property
    def pss(self) -> float | None:
        """Worst over best; ``None`` where no persona solves anything."""
        return self.worst / self.best if self.best > 0 else None

    def standard_error(self, accuracy: float | None) -> float | None:
        """Of one persona's accuracy over independent samples, or ``None``.

        Of a mean over personas it is an upper bound, reached where all solve the same problems. Of the worst it is
        the error of that persona's accuracy, not of the minimum, which lies too low on average.
        """
        if accuracy is None or not self.samples:
            return None
        return math.sqrt(accuracy * (1 - accuracy) / self.samples)

    def record(self) -> dict[str, Any]:
        """Every figure but those that depend on what the personas are; keys as :data:`COLUMNS`."""
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
        """One line for the terminal."""
        pss = "undefined (nothing solved)" if self.pss is None else f"{self.pss:.3f}"
        text = (
            f"mean {self.mean:.3f}, worst {self.worst:.3f} ({self.worst_persona}), best {self.best:.3f} "
            f"({self.best_persona}), PSS {pss}"
        )
        if self.no_persona is not None:
            text += f", no persona {self.no_persona:.3f}"
        return text + (f", the other personas {self.others_mean:.3f}" if self.others_mean is not None else "")


def robustness(step: int, values: Mapping[str, float], arms: Arms) -> Robustness | None:
    """Of a step's metrics; ``None`` where it was not validated, or not under any persona that counts."""
    found = validation_accuracy(values)
    known = found if arms.personas is None else arms.personas
    personas = {arm: accuracy for arm, accuracy in found.items() if arm != NO_PERSONA and arm in known}
    counted = {arm: accuracy for arm, accuracy in personas.items() if not arms.held_out or arm in arms.held_out}
    if not counted:
        return None
    others = [accuracy for arm, accuracy in personas.items() if arm not in counted]
    return Robustness(
        step=step,
        accuracy=counted,
        samples=arms.problems * validation_samples(values) if arms.problems else None,
        no_persona=found.get(NO_PERSONA),
        others_mean=sum(others) / len(others) if others else None,
    )


def robustness_curve(metrics: Metrics, arms: Arms) -> list[Robustness]:
    """Every validation of a run, by step; step 0 is the model before training."""
    found = (robustness(step, values, arms) for step, values in metrics.items())
    return [one for one in found if one]


def write_robustness(file: Path, metrics: Metrics, arms: Arms) -> None:
    """A row for each validation, with :data:`COLUMNS`, in one move; nothing where there was none."""
    curve = robustness_curve(metrics, arms)
    if not curve:
        return
    text = io.StringIO()
    table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(one.record() | {"held_out": int(bool(arms.held_out) or not arms.trained)} for one in curve)
    write_atomic(file, text.getvalue())
