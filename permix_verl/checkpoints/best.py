"""Adapter of the step with the best worst-persona accuracy in validation, exported at the end of the run.

verl keeps the last two checkpoints, and validates a step only after saving it. So we hard-link each saved adapter, and
delete all but the best once validations arrive.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from permix_verl.runs.folder import RunFolder
from permix_verl.runs.metrics import read_metrics
from permix_verl.runs.persona_validation import (
    PersonaValidation,
    ValidationPersonas,
    persona_validations,
    read_validation_personas,
)
from permix_verl.runs.trainers import GRPO, ROLLOUT_RECORD
from permix_verl.utils.files import atomic_folder, write_atomic

RULE = "highest accuracy of the worst persona in validation; then the highest mean; then the earliest step"
WARNING = (
    "a maximum over noisy estimates: the chosen step's own figure is too high on average, the more so the more steps "
    "were compared and the fewer the problems; the evaluation on personas and problems held out is the judge"
)
_DIGITS = 9
"""Decimal digits compared: sums in different order differ in the last ones."""


def best_of(curve: Sequence[PersonaValidation], steps: Collection[int]) -> PersonaValidation | None:
    """Return the best validation among these steps by :data:`RULE`, or ``None`` if none was validated."""

    def rank(validation: PersonaValidation) -> tuple[float, float, int]:
        return round(validation.worst, _DIGITS), round(validation.mean, _DIGITS), -validation.step

    return max((validation for validation in curve if validation.step in steps), key=rank, default=None)


def stashed_steps(folder: RunFolder) -> list[int]:
    """Return the steps with a stashed adapter."""
    names = [path.name.removeprefix("global_step_") for path in folder.stash.glob("global_step_*")]
    return sorted(int(name) for name in names if name.isdigit())


def stash_dir(folder: RunFolder, step: int) -> Path:
    """Return the folder of a step's stashed adapter, laid out as verl's checkpoint."""
    return folder.stash / f"global_step_{step}"


def stash_adapter(folder: RunFolder, checkpoint: Path) -> None:
    """Stash the adapter of a newly saved checkpoint; of the earlier ones, keep the best validated.

    Args:
        checkpoint: verl's ``global_step_N`` folder; skipped if it has no LoRA weights.
    """
    actor = checkpoint / GRPO.weights
    meta = actor / "lora_train_meta.json"
    if not meta.is_file():
        return
    target = folder.stash / checkpoint.name
    with atomic_folder(target) as partial:
        (partial / GRPO.weights).mkdir(parents=True)
        for file in [*actor.glob("model_world_size_*_rank_*.pt"), meta]:
            _link(file, partial / GRPO.weights / file.name)
        if (checkpoint / ROLLOUT_RECORD).is_file():
            _link(checkpoint / ROLLOUT_RECORD, partial / ROLLOUT_RECORD)
    step = int(checkpoint.name.rsplit("_", 1)[1])
    earlier = [stashed for stashed in stashed_steps(folder) if stashed < step]
    best = best_of(persona_validations(read_metrics(folder.metrics), read_validation_personas(folder.data)), earlier)
    prune_stash(folder, {step} | ({best.step} if best else set()))


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copy2(file, target)


def prune_stash(folder: RunFolder, steps: Collection[int]) -> None:
    """Delete the stashed adapters of all other steps."""
    for step in set(stashed_steps(folder)) - set(steps):
        shutil.rmtree(stash_dir(folder, step), ignore_errors=True)


def validation_gap_warning(settings: Mapping[str, Any], total: int) -> str | None:
    """Return a warning if some checkpoints of the run will not be validated, or ``None``.

    Args:
        settings: verl's configuration, key -> value.
        total: steps of the run; verl always saves and validates the last one, unless it never does.
    """
    save, test = (int(settings.get(f"trainer.{kind}_freq", -1)) for kind in ("save", "test"))
    if test < 1:
        return f"no step is validated (TEST_FREQ={test}), so there will be no best_adapter"
    saved, validated = (
        {step for step in range(1, total + 1) if step == total or step % every == 0} for every in (save, test)
    )
    both = saved & validated
    if both == saved:
        return None
    return (
        f"{len(saved)} steps will be saved (SAVE_FREQ={save}) and {len(both)} of them validated (TEST_FREQ={test}: "
        f"{_shorten(sorted(both))}); best_adapter is chosen among these; TEST_FREQ={save} compares all"
    )


def _shorten(steps: Sequence[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", shown[-1]])


def candidates(folder: RunFolder, curve: Sequence[PersonaValidation]) -> list[PersonaValidation]:
    """Return the validations of saved steps; verl removes the files of old checkpoints but leaves their folders."""
    return [validation for validation in curve if (folder.checkpoints / f"global_step_{validation.step}").is_dir()]


def write_choice(
    folder: RunFolder,
    best: PersonaValidation,
    curve: Sequence[PersonaValidation],
    personas: ValidationPersonas,
    last_step: int,
) -> None:
    """Write ``best.json``: the chosen step, its metrics, the candidates and a warning.

    It is not in the adapter folder, whose files identify the adapter in evaluations.
    """
    initial = next((validation for validation in curve if validation.step == 0), None)
    compared = candidates(folder, curve)
    record = {
        **best.record(),
        "chosen_by": RULE,
        "personas_are": personas.label,
        "warning": WARNING,
        "last_step": last_step,
        "compared": [{"step": other.step, "worst": other.worst, "mean": other.mean} for other in compared],
        "before_training": initial.record() if initial else None,
    }
    write_atomic(folder.best, json.dumps(record, indent=2) + "\n")
