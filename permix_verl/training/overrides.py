"""verl's Hydra overrides, as the recipes give them, and what follows from them."""

import re

from permix_verl.errors import UserError
from permix_verl.rows import read_draw


def as_dict(overrides: list[str]) -> dict[str, str]:
    """Overrides by key, later ones winning as in Hydra; ``+`` is not part of a key, nor quotes of a value."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value.strip("'") for key, _, value in pairs}


def quoted(value: str) -> str:
    """A string for Hydra's override grammar."""
    # Backslashes count only before a quote, the closing one too.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def training_rows(overrides: list[str]) -> int:
    """Length of the training data as the dataset holds it: rows times epochs.

    Raises:
        UserError: more than one epoch of a file that says nothing of how its personas were drawn.
    """
    import pyarrow.parquet as pq

    settings = as_dict(overrides)
    file, epochs = settings["data.train_files"], int(settings.get("data.epochs", 1))
    if epochs > 1 and read_draw(file) is None:
        raise UserError(
            f"{file} does not say how its personas were drawn, so they cannot be drawn again for {epochs} epochs; "
            "write it with data_prep/gsm8k_persona.py, or set EPOCHS=1"
        )
    rows: int = pq.read_metadata(file).num_rows
    most = settings.get("data.train_max_samples", "null")
    if most.isdigit() and int(most) > 0:
        rows = min(rows, int(most))
    return rows * epochs


def total_steps(overrides: list[str]) -> int:
    """Optimizer steps of the whole run, as verl counts them.

    Raises:
        UserError: fewer rows than one batch, or than the steps that are asked for.
    """
    settings = as_dict(overrides)
    rows, epochs = training_rows(overrides), int(settings.get("data.epochs", 1))
    batch = int(settings["data.train_batch_size"])
    if rows < batch:
        raise UserError(f"{rows} training rows do not fill one batch of {batch}; set BATCH to at most {rows}")
    steps = settings.get("trainer.total_training_steps")
    if steps in (None, "null"):
        return rows // batch
    if int(steps) * batch > rows:
        raise UserError(
            f"trainer.total_training_steps={steps} needs {int(steps) * batch} rows in batches of {batch}, and the data "
            f"has {rows}, all epochs taken together; set EPOCHS to at least {-(-int(steps) * batch * epochs // rows)}"
        )
    return int(steps)
