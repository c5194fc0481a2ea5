"""MLflow run of a run folder: made by the launcher before verl starts, and attached to by every launch."""

import contextlib
import json
import logging
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from permix_verl.errors import first_line
from permix_verl.training.trackers.chosen import trackers_folder
from permix_verl.training.trackers.credentials import redact, secret_environment
from permix_verl.utils.files import write_atomic

ANSWER_S = 3.0
"""Seconds in which a tracking server must answer."""
_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""MLflow itself would ask a server that does not answer for many minutes."""


def local_uri(run_dir: Path) -> str:
    """Return the URI of the database in the run folder; verl's own default is one file in /tmp for all runs."""
    return f"sqlite:///{trackers_folder(run_dir).resolve() / 'mlflow' / 'mlflow.db'}"


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is that of an HTTP server."""
    return uri.startswith(("http://", "https://"))


def server_problem(uri: str) -> str | None:
    """Return why an MLflow server does not answer within :data:`ANSWER_S`; ``None`` if it does, with any status."""
    plain = secret_environment({"MLFLOW_TRACKING_URI": uri}).get("MLFLOW_TRACKING_URI", uri)
    try:
        urllib.request.urlopen(f"{plain.rstrip('/')}/health", timeout=ANSWER_S).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return first_line(error)
    return None


def attach_mlflow_run(config: Mapping[str, Any], run_dir: Path, uri: str) -> str | None:
    """Return the id of the run folder's MLflow run; make one if none is recorded, or it was deleted.

    If the server fails, a warning is printed and ``None`` returned: verl then tries by itself, with a run of its own.
    """
    try:
        problem = server_problem(uri) if is_server(uri) else None
        if problem is None:
            return _attach(config, run_dir, uri)
    except Exception as error:
        problem = first_line(error)
    print(f"warning: no MLflow run could be made at {redact(uri)}: {redact(problem)}", file=sys.stderr)
    return None


def _attach(config: Mapping[str, Any], run_dir: Path, uri: str) -> str:
    from mlflow import MlflowClient

    record, place = trackers_folder(run_dir) / "mlflow_run.json", redact(uri)
    with _quick_and_quiet():
        client = MlflowClient(uri)
        stored = json.loads(record.read_text()) if record.is_file() else {}
        if stored.get("uri") == place and _is_there(client, stored["run_id"]):
            return str(stored["run_id"])
        experiment = _experiment(client, str(config["trainer.project_name"]), run_dir, uri)
        run = client.create_run(experiment, run_name=str(config["trainer.experiment_name"]))
    write_atomic(record, json.dumps({"uri": place, "run_id": run.info.run_id}, indent=2) + "\n")
    return str(run.info.run_id)


def _is_there(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def _experiment(client: Any, name: str, run_dir: Path, uri: str) -> str:
    """Return the experiment's id; beside the run folder's own database its files lie there too."""
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    artifacts = trackers_folder(run_dir).resolve() / "mlflow" / "artifacts"
    return str(client.create_experiment(name, str(artifacts) if uri == local_uri(run_dir) else None))


@contextlib.contextmanager
def _quick_and_quiet() -> Iterator[None]:
    """Shorten MLflow's waiting, and hide its lines about the tables of a new database."""
    logger = logging.getLogger("mlflow")
    level, ours = logger.level, {name: value for name, value in _QUICK.items() if name not in os.environ}
    logger.setLevel(logging.WARNING)
    os.environ.update(ours)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name in ours:
            os.environ.pop(name, None)
