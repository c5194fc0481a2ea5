"""Hydra overrides for verl: parsing, composition, and the number of steps that they imply."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from permix_verl.data.schema import read_draw
from permix_verl.errors import UserError

VERL_CONFIGS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""Trainer -> name of verl's configuration."""


def overrides_by_key(overrides: list[str]) -> dict[str, str]:
    """Return key -> value, without ``+`` and quotes; as in Hydra, later overrides win."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value.strip("'") for key, _, value in pairs}


def quote_value(value: str) -> str:
    """Quote a string for Hydra's override grammar."""
    # Backslashes escape only before a quote, including the closing one.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def compose_without_verl(overrides: list[str], trainer: str) -> Any:
    """Compose verl's configuration with the overrides from verl's files; return None if verl is not installed.

    Unlike :func:`permix_verl.training.dry_run.compose_config` it does not import verl, so it takes half a second.

    Raises:
        HydraException, OmegaConfBaseException: the overrides do not fit the configuration.
    """
    spec = importlib.util.find_spec("verl")
    if spec is None or not spec.submodule_search_locations:
        return None
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    folder = Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(folder), version_base=None):
        return compose(VERL_CONFIGS[trainer], overrides=overrides)


def add_file_logger(overrides: list[str], trainer: str) -> tuple[list[str], str]:
    """Add "file" to the loggers; return the overrides and a note, empty if nothing was added.

    Progress display and run checks read the file of that logger. Overrides that do not compose are returned unchanged,
    for verl to refuse.
    """
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = compose_without_verl(overrides, trainer)
        loggers = None if config is None else OmegaConf.select(config, "trainer.logger")
    except (HydraException, OmegaConfBaseException):
        return overrides, ""
    if config is None:
        return overrides, ""
    names = [loggers] if isinstance(loggers, str) else list(loggers or [])
    if "file" in names:
        return overrides, ""
    joined = ",".join(quote_value(str(name)) for name in [*names, "file"])
    note = f"trainer.logger=[{','.join(map(str, names))}] has no 'file', which the run checks read; it is added"
    return [*overrides, f"++trainer.logger=[{joined}]"], note


def training_rows(overrides: list[str]) -> int:
    """Return the length of the training data: rows times epochs.

    Raises:
        UserError: an unreadable file; several epochs over files without the settings of their persona draw.
    """
    from permix_verl.runs.data_files import count_rows
    from permix_verl.runs.own_files import list_data_files

    settings = overrides_by_key(overrides)
    files, epochs = list_data_files(settings, "data.train_files"), int(settings.get("data.epochs", 1))
    if epochs > 1 and (len(files) > 1 or read_draw(files[0]) is None):
        subject = f"{files[0]} has" if len(files) == 1 else f"data.train_files={','.join(files)} have"
        raise UserError(
            f"{subject} no persona draw in the metadata, so personas cannot be resampled for {epochs} epochs",
            "write one file with data_prep/gsm8k_persona.py, or set EPOCHS=1",
        )
    rows = sum(map(count_rows, files))
    max_samples = settings.get("data.train_max_samples", "null")
    if max_samples.isdigit() and int(max_samples) > 0:
        rows = min(rows, int(max_samples))
    return rows * epochs


def total_steps(overrides: list[str]) -> int:
    """Return the optimizer steps of the whole run, counted as verl does.

    Raises:
        UserError: fewer rows than one batch, or than the configured steps need.
    """
    settings = overrides_by_key(overrides)
    rows, epochs = training_rows(overrides), int(settings.get("data.epochs", 1))
    batch = int(settings["data.train_batch_size"])
    if rows < batch:
        raise UserError(f"{rows} training rows do not fill one batch of {batch}", f"set BATCH to at most {rows}")
    steps = settings.get("trainer.total_training_steps")
    if steps in (None, "null"):
        return rows // batch
    if int(steps) * batch > rows:
        raise UserError(
            f"trainer.total_training_steps={steps} needs {int(steps) * batch} rows in batches of {batch}, but the "
            f"data have {rows} over all epochs",
            f"set EPOCHS to at least {-(-int(steps) * batch * epochs // rows)}",
        )
    return int(steps)
