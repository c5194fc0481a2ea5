"""The step whose worst persona does best in validation: its adapter is kept, and exported at the end of the run.

verl keeps the last two checkpoints, and validates a step after it has saved it. So every checkpoint's adapter is
kept aside when it is saved, as hard links, and let go when a later validation has shown another to be the best.
"""

import json
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from permix_verl.runs.folder import RunFolder
from permix_verl.runs.metrics import read_metrics
from permix_verl.runs.persona_validation import Arms, Robustness, read_arms, robustness_curve
from permix_verl.runs.trainers import GRPO, RECORD
from permix_verl.utils.files import atomic_folder, write_atomic

RULE = "highest accuracy of the worst persona in validation; then the highest mean; then the earliest step"
WARNING = (
    "a maximum over noisy estimates: the chosen step's own figure is too high on average, the more so the more steps "
    "were compared and the fewer the problems; the evaluation on personas and problems held out is the judge"
)
_DIGITS = 9
"""To which accuracies are compared: equal shares, summed in another order, differ in the last."""


def best_of(curve: Sequence[Robustness], steps: Collection[int]) -> Robustness | None:
    """The best validation by :data:`RULE` among these steps, or ``None`` where none of them was validated."""
    found = [one for one in curve if one.step in steps]
    return max(found, key=lambda one: (round(one.worst, _DIGITS), round(one.mean, _DIGITS), -one.step), default=None)


def kept_steps(folder: RunFolder) -> list[int]:
    """Steps whose adapters are kept."""
    names = [path.name.removeprefix("global_step_") for path in folder.kept.glob("global_step_*")]
    return sorted(int(name) for name in names if name.isdigit())


def kept(folder: RunFolder, step: int) -> Path:
    """Where a step's adapter is kept, in the form of verl's checkpoint."""
    return folder.kept / f"global_step_{step}"


def keep(folder: RunFolder, checkpoint: Path) -> None:
    """Keep the adapter of a checkpoint that was just saved, and of those before, validated by now, only the best.

    Args:
        folder: the run's.
        checkpoint: verl's ``global_step_N`` folder. One without LoRA weights is passed over.
    """
    actor = checkpoint / GRPO.weights
    meta = actor / "lora_train_meta.json"
    if not meta.is_file():
        return
    target = folder.kept / checkpoint.name
    with atomic_folder(target) as partial:
        (partial / GRPO.weights).mkdir(parents=True)
        for file in [*actor.glob("model_world_size_*_rank_*.pt"), meta]:
            _link(file, partial / GRPO.weights / file.name)
        if (checkpoint / RECORD).is_file():
            _link(checkpoint / RECORD, partial / RECORD)
    step = int(checkpoint.name.rsplit("_", 1)[1])
    earlier = [one for one in kept_steps(folder) if one < step]
    best = best_of(robustness_curve(read_metrics(folder.metrics), read_arms(folder.data)), earlier)
    keep_only(folder, {step} | ({best.step} if best else set()))


def _link(file: Path, target: Path) -> None:
    try:
        os.link(file, target)
    except OSError:  # a file system without hard links
        shutil.copy2(file, target)


def keep_only(folder: RunFolder, steps: Collection[int]) -> None:
    """Let go of every other adapter."""
    for step in set(kept_steps(folder)) - set(steps):
        shutil.rmtree(kept(folder, step), ignore_errors=True)


def never_compared(settings: Mapping[str, str], total: int) -> str | None:
    """What to say before a run some of whose checkpoints are not validated, or ``None``.

    Args:
        settings: verl's overrides.
        total: steps of the run; verl saves and validates the last one in any case, unless it does so never.
    """
    save, test = (_frequency(settings.get(f"trainer.{kind}_freq", "-1")) for kind in ("save", "test"))
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
        f"{_listed(sorted(both))}); best_adapter is chosen among these; TEST_FREQ={save} compares all"
    )


def _frequency(text: str) -> int:
    return int(text) if text.lstrip("-").isdigit() else -1


def _listed(steps: Sequence[int]) -> str:
    shown = [str(step) for step in steps]
    return ", ".join(shown if len(shown) <= 6 else [*shown[:3], "...", shown[-1]])


def competitors(folder: RunFolder, curve: Sequence[Robustness]) -> list[Robustness]:
    """The validations of steps that were saved: of an old checkpoint verl leaves the folder."""
    return [one for one in curve if (folder.checkpoints / f"global_step_{one.step}").is_dir()]


def write_choice(folder: RunFolder, best: Robustness, curve: Sequence[Robustness], arms: Arms, last_step: int) -> None:
    """``best.json``: the chosen step and its figures, what it was chosen among, and how far to trust it.

    Not in the adapter's folder, whose files are what an evaluation knows it by.
    """
    base = next((one for one in curve if one.step == 0), None)
    record = {
        **best.record(),
        "chosen_by": RULE,
        "personas_are": arms.label,
        "warning": WARNING,
        "last_step": last_step,
        "compared": [{"step": one.step, "worst": one.worst, "mean": one.mean} for one in competitors(folder, curve)],
        "before_training": base.record() if base else None,
    }
    write_atomic(folder.best, json.dumps(record, indent=2) + "\n")
