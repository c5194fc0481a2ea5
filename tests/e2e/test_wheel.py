"""The wheel, in a clean environment, outside the checkout."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROBE = """
import importlib, threading
import permix_verl
assert (len(permix_verl.load_pool("train")), len(permix_verl.load_pool("eval"))) == (25, 16)
assert "site-packages" in permix_verl.__file__
reward = importlib.import_module("permix_verl.reward_fns.math_reward")  # as pkg:// does
found = []
thread = threading.Thread(target=lambda: found.append(reward.compute_score("x", "\\\\boxed{18}", "18")))
thread.start(); thread.join()
assert found[0]["score"] == 1.0, found
assert reward.compute_score("x", "\\\\boxed{17}", "18")["status"] == "wrong"
print("ok")
"""


def test_the_wheel_alone_loads_pools_and_scores_from_a_thread(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT))
    wheel = next(tmp_path.glob("permix_verl-*.whl"))
    run(sys.executable, "-m", "venv", str(tmp_path / "clean"))
    python = str(tmp_path / "clean" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", str(wheel))
    assert run(python, "-c", PROBE).strip() == "ok"
