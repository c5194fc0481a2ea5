"""Environment variables by which each tracker writes under the run folder, and a resumed launch continues its run."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from permix_verl.config.compose import RunConfig
from permix_verl.runs.folder import RunFolder
from permix_verl.training.trackers.chosen import chosen_trackers, trackers_folder
from permix_verl.training.trackers.identity import run_identity
from permix_verl.training.trackers.mlflow_run import attach_mlflow_run, local_uri

SWANLAB_CLOUD = ("cloud", "online")
"""Values of SWANLAB_MODE with which SwanLab sends to its server; verl's default is the first."""


def tracker_environment(config: RunConfig, folder: RunFolder) -> dict[str, str]:
    """Return the variables to set for the chosen trackers; those that the user has set are left out.

    Folders are made, and for MLflow the run, unless the run folder records one: verl attaches to it.

    Args:
        config: the composed configuration.
        folder: the run folder; it must be the same path on the node of verl's trainer.
    """
    wanted: dict[str, str] = {}
    for name in chosen_trackers(config):
        wanted |= _VARIABLES[name](config, folder.path)
    ours = {name: value for name, value in wanted.items() if not os.environ.get(name)}
    if "swanlab" in chosen_trackers(config) and os.environ.get("SWANLAB_MODE", SWANLAB_CLOUD[0]) not in SWANLAB_CLOUD:
        # With a key verl logs in at SwanLab's server even if the mode is an offline one, and ends if it cannot.
        ours["SWANLAB_API_KEY"] = ""
    return ours


def run_group(config: Mapping[str, Any]) -> str:
    """Return the group of a run: runs of one method and model that differ in seed and settings."""
    return "-".join(str(config[key]) for key in ("permix.method", "permix.name") if config.get(key))


def _tensorboard(config: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    return {"TENSORBOARD_DIR": _made(run_dir, "tensorboard")}


def _wandb(config: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    variables = {
        "WANDB_DIR": str(Path(_made(run_dir, "wandb")).parent),  # it makes a folder "wandb" there
        "WANDB_RUN_ID": run_identity(run_dir),
        "WANDB_RESUME": "allow",
    }
    group = run_group(config)
    return variables | ({"WANDB_RUN_GROUP": group} if group else {})


def _mlflow(config: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    _made(run_dir, "mlflow")
    uri = os.environ.get("MLFLOW_TRACKING_URI") or local_uri(run_dir)
    variables = {"MLFLOW_TRACKING_URI": uri}
    if not os.environ.get("MLFLOW_RUN_ID"):
        run = attach_mlflow_run(config, run_dir, uri)
        variables |= {"MLFLOW_RUN_ID": run} if run else {}
    return variables


def _trackio(config: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    return {"TRACKIO_DIR": _made(run_dir, "trackio")}


def _swanlab(config: Mapping[str, Any], run_dir: Path) -> dict[str, str]:
    return {
        "SWANLAB_LOG_DIR": _made(run_dir, "swanlab"),
        "SWANLAB_RUN_ID": run_identity(run_dir),
        "SWANLAB_RESUME": "allow",
    }


def _made(run_dir: Path, name: str) -> str:
    """Return a tracker's folder, which is made: some trackers fall back to another one if it is not there."""
    folder = trackers_folder(run_dir).resolve() / name
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


_VARIABLES: Mapping[str, Callable[[Mapping[str, Any], Path], dict[str, str]]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
    "swanlab": _swanlab,
}
