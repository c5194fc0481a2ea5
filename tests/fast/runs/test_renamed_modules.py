"""Overrides of a run that was begun before modules moved."""

import importlib.util
from pathlib import Path

import pytest

from permix_verl.runs.renamed_modules import RENAMED, current_paths

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("stored", "current"),
    [
        ("pkg://permix_verl.training.replay_buffer", "pkg://permix_verl.training.hooks.replay_buffer"),
        (
            "permix_verl.training.callback.RecordRollouts",
            "permix_verl.training.hooks.checkpoint_callback.RecordRollouts",
        ),
        (
            "[permix_verl.training.qlora,permix_verl.training.frozen_reference]",
            "[permix_verl.training.qlora.engine,permix_verl.training.hooks.frozen_reference]",
        ),
        ("permix_verl.training.qlora.engine", "permix_verl.training.qlora.engine"),
        ("'/a/permix_verl/training/agent_loop.yaml'", "'/a/permix_verl/training/hooks/agent_loop.yaml'"),
        ("pkg://permix_verl.dataset", "pkg://permix_verl.dataset"),
        ("other.training.replay_buffer", "other.training.replay_buffer"),
    ],
)
def test_stored_paths_become_the_present_ones(stored: str, current: str) -> None:
    assert current_paths({"key": stored}) == {"key": current}


def test_every_present_path_exists() -> None:
    for path in RENAMED.values():
        assert (ROOT / path).is_file() if "/" in path else importlib.util.find_spec(path), path
