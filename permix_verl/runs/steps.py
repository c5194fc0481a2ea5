"""Length of a run: rows, epochs and optimizer steps that its configuration implies."""

from collections.abc import Mapping
from typing import Any

from permix_verl.data.mixed_file import shared_draw
from permix_verl.errors import UserError


def training_rows(settings: Mapping[str, Any]) -> int:
    """Return the length of the training data: rows times epochs.

    Raises:
        UserError: an unreadable file; several epochs over files without the settings of their persona draw.
    """
    from permix_verl.runs.data_files import count_rows
    from permix_verl.runs.own_files import list_data_files
    from permix_verl.runs.own_mix import mix_of

    files, epochs = list_data_files(settings, "data.train_files"), int(settings.get("data.epochs", 1))
    if epochs > 1 and not mix_of(settings) and shared_draw(files) is None:
        subject = f"{files[0]} has" if len(files) == 1 else f"data.train_files={','.join(files)} have"
        raise UserError(
            f"{subject} no persona draw in the metadata, so personas cannot be resampled for {epochs} epochs",
            "write one file with data_prep/gsm8k_persona.py, or all with one call of permix mix, or set EPOCHS=1",
        )
    rows = sum(map(count_rows, files))
    max_samples = settings.get("data.train_max_samples") or -1
    if max_samples > 0:
        rows = min(rows, max_samples)
    return rows * epochs


def total_steps(settings: Mapping[str, Any]) -> int:
    """Return the optimizer steps of the whole run, counted as verl does.

    Raises:
        UserError: fewer rows than one batch, or than the configured steps need.
    """
    rows, epochs = training_rows(settings), int(settings.get("data.epochs", 1))
    batch = int(settings["data.train_batch_size"])
    if rows < batch:
        raise UserError(f"{rows} training rows do not fill one batch of {batch}", f"set BATCH to at most {rows}")
    steps = settings.get("trainer.total_training_steps")
    if steps is None:
        return rows // batch
    if int(steps) * batch > rows:
        raise UserError(
            f"trainer.total_training_steps={steps} needs {int(steps) * batch} rows in batches of {batch}, but the "
            f"data have {rows} over all epochs",
            f"set EPOCHS to at least {-(-int(steps) * batch * epochs // rows)}",
        )
    return int(steps)
