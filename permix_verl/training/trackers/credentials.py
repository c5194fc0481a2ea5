"""Variables of the trackers that hold credentials: collected for the trainer's process, kept out of files and logs.

A variable of a tracker counts as a secret unless it is known to be none, so that a new one is never published.
"""

import os
import re
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit, urlunsplit

SECRET_VARIABLES = re.compile(r"(?:WANDB|MLFLOW|SWANLAB|TRACKIO)_\w+$|(?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN)$")
"""Variables that may hold credentials, unless :data:`PUBLIC_VARIABLES` has their name."""
PUBLIC_VARIABLES = frozenset(
    f"{tracker}_{name}"
    for tracker, names in {
        "WANDB": "BASE_URL CONSOLE DIR DISABLE_CODE DISABLE_GIT ENTITY GROUP HTTP_TIMEOUT INIT_TIMEOUT JOB_TYPE MODE "
        "NAME NOTES PROJECT QUIET RESUME RUN_GROUP RUN_ID SILENT TAGS",
        "MLFLOW": "ENABLE_SYSTEM_METRICS_LOGGING EXPERIMENT_ID EXPERIMENT_NAME HTTP_REQUEST_MAX_RETRIES "
        "HTTP_REQUEST_TIMEOUT RUN_ID TRACKING_INSECURE_TLS TRACKING_URI",
        "SWANLAB": "API_HOST DESCRIPTION GROUP JOB_TYPE LOG_DIR MODE PROJ_NAME RESUME RUN_ID TAGS WEB_HOST WORKSPACE",
        "TRACKIO": "BUCKET_ID DATASET_ID DIR SERVER_URL SPACE_ID",
    }.items()
    for name in names.split()
)
"""Variables without credentials, as long as no URI in them has some."""
_URI = "MLFLOW_TRACKING_URI"
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_TOKEN = re.compile(r"((?:token|key|password|secret)=)[^&\s'\"]+", re.IGNORECASE)
_SHORTEST = 6
"""Characters of the shortest secret that :func:`redact` replaces; a shorter one may be a part of any word."""


def is_secret(name: str, value: str) -> bool:
    """Return whether a variable of a tracker must stand in no file and no log."""
    if not SECRET_VARIABLES.match(name):
        return False
    return name not in PUBLIC_VARIABLES or _without_credentials(value) != value


def secret_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the secrets of the trackers in an environment (default: this process's), for the trainer's process alone.

    Credentials in an ``http`` URI of MLflow become its variables for user and password: MLflow and verl print the URI.
    """
    environment = os.environ if environment is None else environment
    secrets = {name: value for name, value in environment.items() if value and is_secret(name, value)}
    parts = urlsplit(secrets.get(_URI, ""))
    if parts.scheme in ("http", "https") and parts.username:
        secrets[_URI] = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        secrets["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
        secrets["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return secrets


def public_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the trackers' variables that are no secrets, to be forwarded to all workers of a Ray cluster.

    MLflow's ``http`` URI is among them, without the credentials that :func:`secret_environment` takes out of it.
    """
    environment = os.environ if environment is None else environment
    return {
        name: value
        for name, value in {**environment, **secret_environment(environment)}.items()
        if name in PUBLIC_VARIABLES and value and not is_secret(name, value)
    }


def redact(text: str, secrets: Mapping[str, str] | None = None) -> str:
    """Return a text without the secrets (default: this process's) and without credentials in URIs."""
    values = (secret_environment() if secrets is None else secrets).values()
    for value in sorted(values, key=len, reverse=True):
        if len(value) >= _SHORTEST and _without_credentials(value) == value and "://" not in value:
            text = text.replace(value, "***")
    return _without_credentials(text)


def _without_credentials(text: str) -> str:
    return _TOKEN.sub(r"\1***", _USER_INFO.sub("***@", text))
