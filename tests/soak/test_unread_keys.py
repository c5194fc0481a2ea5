"""Make ``permix_verl/config/unread_keys.json``: run, resume and validate with the recorder, and list what nothing read.

    python -m pytest -s tests/soak/test_unread_keys.py               # compare with the file (10 minutes)
    WRITE_UNREAD_KEYS=1 python -m pytest -s tests/soak/test_unread_keys.py

Keys with ``_target_`` are verl's own wiring, and left out.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from permix_verl.config.compose import RunConfig, compose_verl, flatten
from permix_verl.config.unread_keys import FILE, verl_version
from permix_verl.training.key_reads.unread import read_reads, unread_keys

ROOT = Path(__file__).resolve().parents[2]
KNOBS = {"LAB_PROBLEMS": "60", "VAL_PROBLEMS": "12", "SAVE_FREQ": "1", "TEST_FREQ": "1", "LAB": "1", "PROFILE": "cpu"}
RUNS = {"grpo": ("permix_grpo", "3"), "sft": ("permix_sft", "4")}
"""Trainer -> method, and the step behind which the first launch is ended."""


@pytest.mark.parametrize("trainer", RUNS)
def test_the_unread_keys_are_those_of_the_file(trainer: str, tmp_path: Path) -> None:
    method, _ = RUNS[trainer]
    command = [sys.executable, "-m", "permix_verl.cli.main", "train", method]
    variables = os.environ | KNOBS | {"RUN_DIR": str(tmp_path / "run")}
    first = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    for line in first.stdout:  # until the first step: its checkpoint is there
        if line.strip().startswith("1/"):
            break
    first.terminate()
    first.communicate()
    assert subprocess.run(command, env=variables).returncode == 0
    found = unread_of(tmp_path / "run", trainer)
    print(f"{trainer}: {len(found)} keys of {len(flatten(compose_verl(trainer).plain()))} are read by nothing")
    record = json.loads(FILE.read_text())
    if os.environ.get("WRITE_UNREAD_KEYS"):
        record.setdefault(verl_version(), {})[trainer] = found
        FILE.write_text(json.dumps(record, indent=1) + "\n")
    assert record[verl_version()][trainer] == found


def unread_of(run: Path, trainer: str) -> list[str]:
    """Return the keys of verl's configuration that no launch of a run has read."""
    reads: set[str] = set()
    for launch in (run / "key_reads").iterdir():
        reads |= read_reads(launch).keys
    node = OmegaConf.load(run / "config.yaml")
    config = RunConfig(node, trainer, {}, ())  # type: ignore[arg-type]
    verls = [key for key in flatten(compose_verl(trainer).plain()) if not key.endswith("_target_")]
    return sorted(unread_keys(config, reads, verls))
