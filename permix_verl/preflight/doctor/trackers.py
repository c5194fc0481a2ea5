"""Checks of the experiment trackers that a run names: library, login, and server."""

import importlib.util
import netrc
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.training.trackers.chosen import LIBRARIES, loggers
from permix_verl.training.trackers.credentials import redact
from permix_verl.training.trackers.environment import SWANLAB_CLOUD
from permix_verl.training.trackers.mlflow_run import ANSWER_S, is_server, server_problem

WANDB_SERVER = "https://api.wandb.ai"
_WANDB_OFFLINE = ("offline", "disabled", "dryrun")
_DASHBOARD = "swanboard"
"""Module of ``swanlab[dashboard]``, without which SwanLab's local mode stores nothing to show."""


def trackers(setup: Setup) -> Iterator[Finding]:
    """Check each tracker in ``trainer.logger``: installed, and able to log in or to reach its server."""
    for name in loggers(setup.settings):
        if name not in LIBRARIES:
            continue
        if not _is_there(LIBRARIES[name]):
            yield error(f"trainer.logger names {name}, which is not installed", f"run pip install {_package(name)}")
            continue
        yield _STATES.get(name, _local)(name)


def _wandb(name: str) -> Finding:
    mode = os.environ.get("WANDB_MODE", "online")
    if mode in _WANDB_OFFLINE:
        return ok(f"wandb, {mode}")
    server = os.environ.get("WANDB_BASE_URL") or WANDB_SERVER
    if any(os.environ.get(key) for key in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return ok(f"wandb, {redact(server)}")
    if _netrc_has(_netrc_file(), urlsplit(server).netloc):
        return ok(f"wandb, {redact(server)}, logged in by {_netrc_file()}")
    return error(f"wandb has no key for {redact(server)}", "set WANDB_API_KEY, or WANDB_MODE=offline")


def _netrc_file() -> Path:
    """Return the file in which W&B looks for its key."""
    if given := os.environ.get("NETRC"):
        return Path(given).expanduser()
    usual = [Path.home() / name for name in (".netrc", "_netrc")]
    return next((file for file in usual if file.is_file()), usual[0])


def _netrc_has(file: Path, host: str | None) -> bool:
    """Return whether a netrc file has a password for the host; for any host if ``None``."""
    try:
        entries = netrc.netrc(str(file))
    except (OSError, netrc.NetrcParseError):
        return False
    hosts = entries.hosts if host is None else [host]
    return any((entries.authenticators(each) or ("", "", ""))[2] for each in hosts)


def _mlflow(name: str) -> Finding:
    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return ok("mlflow, a database in the run folder")
    problem = server_problem(uri) if is_server(uri) else None
    if problem:
        return warning(
            f"mlflow: {redact(uri)} does not answer within {ANSWER_S:g} s ({redact(problem)})",
            "start the server, or unset MLFLOW_TRACKING_URI to log into the run folder",
        )
    return ok(f"mlflow, {redact(uri)}")


def _swanlab(name: str) -> Finding:
    mode = os.environ.get("SWANLAB_MODE", SWANLAB_CLOUD[0])
    if mode == "local" and not _is_there(_DASHBOARD):
        return error(
            "SWANLAB_MODE=local, but SwanLab's dashboard is not installed", "run pip install swanlab[dashboard]"
        )
    if mode not in SWANLAB_CLOUD:
        return ok(f"swanlab, {mode}")
    folder = os.environ.get("SWANLAB_ROOT") or os.environ.get("SWANLAB_SAVE_DIR") or str(Path.home() / ".swanlab")
    if os.environ.get("SWANLAB_API_KEY") or _netrc_has(Path(folder) / ".netrc", None):
        return ok("swanlab, cloud")
    return error("swanlab has no key for its server", "set SWANLAB_API_KEY, or SWANLAB_MODE=offline")


def _local(name: str) -> Finding:
    return ok(name)


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _package(name: str) -> str:
    return LIBRARIES[name].replace("_", "-")


_STATES: Mapping[str, Callable[[str], Finding]] = {"wandb": _wandb, "mlflow": _mlflow, "swanlab": _swanlab}
