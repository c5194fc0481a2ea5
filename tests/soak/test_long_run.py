"""About fifty steps on CPU: memory stays flat and the rollouts of every step agree. By hand:

.venv/bin/python -m pytest tests/soak -s | tee docs/soak/long_run.log      # about 15 minutes on 2 cores
"""

import os
import subprocess
import sys
from pathlib import Path

from permix_verl.runs import metrics as m

from ..e2e.conftest import ROOT, SHORT

RESIDENT_GB = "actor/perf/max_memory_allocated_gb"


def test_memory_is_flat_and_agreement_holds_over_a_long_run(tmp_path: Path) -> None:
    environment = os.environ | {"PERMIX_SKIP_SETUP": "1", "PYTHON": sys.executable, "RUN_DIR": str(tmp_path / "run")}
    command = ["bash", str(ROOT / "recipes" / "run_permix_grpo.sh"), "trainer.val_before_train=False"]
    assert subprocess.run(command, env=environment | SHORT | {"EPOCHS": "8", "SAVE_FREQ": "10"}).returncode == 0
    steps = m.training_steps(m.read_metrics(tmp_path / "run" / "metrics"))
    resident = {step: values[RESIDENT_GB] for step, values in steps.items()}
    print(
        "step: resident GB of the actor", {step: round(value, 3) for step, value in resident.items() if step % 5 == 0}
    )
    print("least agreement", min(values[m.ROLLOUT_ACTOR_CORR] for values in steps.values()))
    assert len(steps) == 56
    assert min(values[m.ROLLOUT_ACTOR_CORR] for values in steps.values()) > 0.99
    assert resident[56] < 1.1 * resident[20]
