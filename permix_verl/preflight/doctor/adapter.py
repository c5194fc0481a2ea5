"""The adapter that training goes on from (INIT_ADAPTER)."""

import json
from collections.abc import Iterator
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.runs.init_adapter_settings import given_in


def initial_adapter(setup: Setup) -> Iterator[Finding]:
    """It was trained on this model, and every one of its weights fits. What its settings say is the check of keys'."""
    path = given_in(setup.settings)
    if path is None or setup.model is None:
        return
    from permix_verl.runs.given_adapter import fingerprint, read_given
    from permix_verl.training.hooks.initial_adapter import check_given

    try:
        given = read_given(path)
        doubt = check_given(given, setup.model)
    except UserError as problem:
        text, _, remedy = str(problem).rpartition("; ")
        yield error(text, remedy)
        return
    begun_with, weights = _begun_with(setup.run_dir), fingerprint(path)
    if begun_with not in (None, weights):
        yield error(
            f"{setup.run_dir} holds a run that began with an adapter of other weights ({begun_with}) than {path} has "
            f"now ({weights})",
            "give that one (the run's copy is its initial_adapter/), or set another RUN_DIR",
        )
    if doubt:
        yield warning(doubt, "give the adapter's own model as MODEL")
        return
    yield ok(f"{path}: rank {given.rank}, alpha {given.alpha}, on {len(given.modules)} kinds of layers of this model")


def _begun_with(run_dir: Path | None) -> str | None:
    """The weights' hash of the adapter that a run which goes on was begun with."""
    if run_dir is None or not (run_dir / "checkpoints" / "latest_checkpointed_iteration.txt").is_file():
        return None
    file = run_dir / "run.json"
    found = json.loads(file.read_text()).get("initial_adapter") if file.is_file() else None
    return None if found is None else str(found)
