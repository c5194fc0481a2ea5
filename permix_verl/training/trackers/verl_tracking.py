"""Changes to verl's tracking, made in the process that runs it, without which a resumed launch starts another run.

verl 0.9.1 starts trackio without ``resume``, so each launch has a run of its own. It logs all parameters to an MLflow
run that it attaches to; MLflow refuses a changed value (the token of a launch is one), and verl goes on without MLflow.
"""

import contextlib
import functools
import logging
from collections.abc import Sequence
from typing import Any

from permix_verl.training.trackers.chosen import logger_names
from permix_verl.training.trackers.credentials import redact


def adapt_tracking(value: str | Sequence[str] | None) -> None:
    """Make verl's tracking resume the run of each tracker, and log no credentials; again is no harm.

    Args:
        value: of ``trainer.logger``.
    """
    loggers = logger_names(value)
    logger = logging.getLogger("verl.utils.tracking")
    if _hide_credentials not in logger.filters:
        logger.addFilter(_hide_credentials)
    # verl reports a library that is not there.
    with contextlib.suppress(ImportError):
        if "trackio" in loggers:
            _resume_trackio()
    with contextlib.suppress(ImportError):
        if "mlflow" in loggers:
            _keep_first_parameters()


def _hide_credentials(record: logging.LogRecord) -> bool:
    """Redact a record of verl's, which states the tracking URI, and let it pass."""
    record.msg, record.args = redact(record.getMessage()), None
    return True


def _resume_trackio() -> None:
    import trackio

    if not isinstance(trackio.init, functools.partial):
        trackio.init = functools.partial(trackio.init, resume="allow")


def _keep_first_parameters() -> None:
    """Let verl log only the parameters that the active MLflow run does not have yet."""
    import mlflow
    from verl.utils import tracking

    flatten = tracking._compute_mlflow_params_from_objects
    if getattr(flatten, "only_new", False):
        return

    @functools.wraps(flatten)
    def new_parameters(params: Any) -> dict[str, Any]:
        run = mlflow.active_run()
        known = run.data.params if run else {}
        return {name: value for name, value in flatten(params).items() if name not in known}

    new_parameters.only_new = True  # type: ignore[attr-defined]
    tracking._compute_mlflow_params_from_objects = new_parameters
