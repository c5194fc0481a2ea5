"""Check of the adapter that training starts from (INIT_ADAPTER)."""

import json
from collections.abc import Iterator
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.init_adapter_settings import init_adapter_path


def initial_adapter(setup: Setup) -> Iterator[Finding]:
    """Check that it was trained on this model and that all weights fit; its settings are left to the check ``keys``."""
    path = init_adapter_path(setup.settings)
    if path is None or setup.model is None:
        return
    from permix_verl.runs.given_adapter import fingerprint, read_given_adapter
    from permix_verl.training.hooks.initial_adapter import check_given_adapter

    try:
        given = read_given_adapter(path)
        doubt = check_given_adapter(given, setup.model)
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    recorded, weights = _recorded_weights(setup.run_dir), fingerprint(path)
    if recorded not in (None, weights):
        yield error(
            f"{setup.run_dir} holds a run that started from an adapter with other weights ({recorded}) than {path} has "
            f"now ({weights})",
            "give that adapter (the run's copy is its initial_adapter/), or set another RUN_DIR",
        )
    if doubt:
        yield warning(doubt, "give the adapter's own model as MODEL")
        return
    yield ok(f"{path}: rank {given.rank}, alpha {given.alpha}, on {len(given.modules)} kinds of layers of this model")


def _recorded_weights(run_dir: Path | None) -> str | None:
    """Return the weights' hash of the adapter that a run with a checkpoint started from."""
    if run_dir is None or not (run_dir / "checkpoints" / "latest_checkpointed_iteration.txt").is_file():
        return None
    file = run_dir / "run.json"
    recorded = json.loads(file.read_text()).get("initial_adapter") if file.is_file() else None
    return None if recorded is None else str(recorded)
