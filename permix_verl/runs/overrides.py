"""verl's Hydra overrides, as the recipes give them, and what follows from them."""

import importlib.util
import re
from pathlib import Path
from typing import Any

from permix_verl.data.schema import read_draw
from permix_verl.errors import UserError

VERL_CONFIGS = {"grpo": "ppo_trainer", "sft": "sft_trainer_engine"}
"""verl's configuration of each trainer."""


def as_dict(overrides: list[str]) -> dict[str, str]:
    """Overrides by key, later ones winning as in Hydra; ``+`` is not part of a key, nor quotes of a value."""
    pairs = (override.partition("=") for override in overrides)
    return {key.lstrip("+"): value.strip("'") for key, _, value in pairs}


def quoted(value: str) -> str:
    """A string for Hydra's override grammar."""
    # Backslashes count only before a quote, the closing one too.
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", value)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def compose_without_verl(overrides: list[str], trainer: str) -> Any:
    """verl's configuration with the overrides, composed by Hydra from verl's files; None where verl is not installed.

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


def with_file_logging(overrides: list[str], trainer: str) -> tuple[list[str], str]:
    """The overrides with "file" among the loggers, and a line that says so; unchanged where it is there already.

    Progress, checks and verdict read verl's metrics from that logger's file. Overrides that do not compose stay as
    they are: verl refuses them.
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
    listed = ",".join(quoted(str(name)) for name in [*names, "file"])
    said = f"trainer.logger=[{','.join(map(str, names))}] has no 'file', which the checks of a run read; it is added"
    return [*overrides, f"++trainer.logger=[{listed}]"], said


def training_rows(overrides: list[str]) -> int:
    """Length of the training data as the dataset holds it: rows times epochs.

    Raises:
        UserError: a file that cannot be read; more than one epoch of files that say nothing of how their personas
            were drawn.
    """
    from permix_verl.runs.data_files import count_rows
    from permix_verl.runs.own_files import listed

    settings = as_dict(overrides)
    files, epochs = listed(settings, "data.train_files"), int(settings.get("data.epochs", 1))
    if epochs > 1 and (len(files) > 1 or read_draw(files[0]) is None):
        subject = f"{files[0]} does" if len(files) == 1 else f"data.train_files={','.join(files)} do"
        raise UserError(
            f"{subject} not say how its personas were drawn, so they cannot be drawn again for {epochs} epochs; "
            "write one file with data_prep/gsm8k_persona.py, or set EPOCHS=1"
        )
    rows = sum(map(count_rows, files))
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
