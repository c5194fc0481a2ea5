"""The plan's memory against verl's own engine on this machine's CPU: within 15 % on every setting.

By hand, about 10 minutes on two cores:

.venv/bin/python -m pytest tests/soak/test_plan_memory.py -s

docs/soak/plan_memory.log has the figures of a GPU too: python benchmarks/plan_memory.py gpu
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_estimates_are_within_15_percent_of_the_measurements() -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "plan_memory.py"), "cpu"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(done.stdout)
    rows = [line for line in done.stdout.splitlines() if " update " in line or " log_probs " in line]
    assert len(rows) == 12
    assert all(abs(float(row.split("%")[0].split()[-1])) < 15 for row in rows)
