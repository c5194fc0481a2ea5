"""The CPU platform's engine against verl's, on verl's own micro-batches: the same values, loss and gradient."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from permix_verl.lab.base_model import MODEL

ROOT = Path(__file__).resolve().parents[3]
Differences = dict[str, dict[str, tuple[float, float]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Differences]:
    out = tmp_path_factory.mktemp("engines") / "found.pt"
    command = [sys.executable, str(ROOT / "tests/support/engine_pair.py"), str(MODEL), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(torch.load(out))


CASES = {
    "shared prompts": {"log_probs", "entropy"},
    "shared prompts, temperature 0.7": {"log_probs", "entropy"},
    "own prompts": {"log_probs", "entropy"},
    "update": {"gradient", "loss"},
    "supervised": {"gradient", "loss"},
}


@pytest.mark.parametrize("case", CASES)
def test_values_are_verls_up_to_rounding(found: dict[str, Differences], case: str) -> None:
    differences = found["same"][case]
    assert set(differences) == CASES[case]
    for difference, scale in differences.values():
        assert scale > 0.1
        assert difference < 2e-5 * max(scale, 1)


@pytest.mark.parametrize("case", CASES)
def test_positions_off_by_one_are_seen(found: dict[str, Differences], case: str) -> None:
    assert max(difference / scale for difference, scale in found["off by one"][case].values()) > 0.01
