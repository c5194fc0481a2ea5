"""The SLURM script with fake scheduler commands and a recipe that prints its arguments."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PYTHON = f"""#!{sys.executable}
import os, socket, sys, time
words = sys.argv[1:]
with open(os.environ["CALLS"], "a") as calls:
    print(*words[:3] if words[0] == "-c" else words, file=calls)
if "start" in words:
    if "--head" in words:
        listening = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
    if os.environ.get("BROKEN") in words:
        sys.exit("no such node")
    with open(os.environ["CALLS"], "a") as calls:
        print("started", file=calls)
    time.sleep(60)
elif "secrets" in words[1]:
    print("a-token")
elif "ray.nodes" in words[1]:
    print(open(os.environ["CALLS"]).read().count("started"))
"""
SRUN = """#!/bin/bash
echo "srun $*" >>"$CALLS"
while [[ $1 == --* ]]; do shift; done
exec "$@"
"""
RECIPE = 'echo "recipe $RAY_ADDRESS $NNODES $RAY_AUTH_MODE $RAY_AUTH_TOKEN $*"; exit "${RECIPE_STATUS:-0}"\n'


@pytest.fixture
def job(tmp_path: Path) -> dict[str, str]:
    """The environment of a three-node job."""
    (tmp_path / "bin").mkdir()
    for name, text in {
        "scontrol": "#!/bin/sh\nprintf '127.0.0.1\\nb\\nc\\n'\n",
        "srun": SRUN,
        "python": PYTHON,
    }.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "setup_env.sh").symlink_to(ROOT / "recipes" / "setup_env.sh")
    (tmp_path / "recipes" / "run_permix_grpo.sh").write_text(RECIPE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "PERMIX_SKIP_SETUP": "1",
        "PYTHON": str(tmp_path / "bin" / "python"),
        "PORT": str(port),
        "RAY_WAIT_SECONDS": "20",
    }


def submit(job: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "recipes" / "slurm.sh"), *arguments]
    return subprocess.run(command, env=job, capture_output=True, text=True, timeout=60)


def test_ray_is_started_on_every_node_and_then_the_recipe_with_its_address(job: dict[str, str]) -> None:
    done = submit(job, "run_permix_grpo.sh", "trainer.test_freq=5")
    assert done.returncode == 0, done.stderr
    assert f"recipe 127.0.0.1:{job['PORT']} 3 token a-token trainer.test_freq=5" in done.stdout
    steps = [line for line in Path(job["CALLS"]).read_text().splitlines() if line.startswith("srun")]
    nodes = [line.split("--nodelist=")[1].split()[0] for line in steps]
    assert (nodes[0], sorted(nodes[1:])) == ("127.0.0.1", ["b", "c"]), "the first alone, the others at once"
    assert "--head" in steps[0]
    assert all(f"--address=127.0.0.1:{job['PORT']}" in line for line in steps[1:])


def test_the_job_has_the_recipes_exit_status(job: dict[str, str]) -> None:
    assert submit(job | {"RECIPE_STATUS": "3"}).returncode == 3


def test_a_node_on_which_ray_does_not_start_ends_the_job(job: dict[str, str]) -> None:
    done = submit(job | {"BROKEN": f"--address=127.0.0.1:{job['PORT']}"})
    assert done.returncode == 1
    assert "Ray did not start on one of 127.0.0.1 b c" in done.stderr
    assert "recipe" not in done.stdout


def test_outside_a_job_or_with_an_unknown_recipe_the_error_names_the_remedy(job: dict[str, str]) -> None:
    done = submit({name: value for name, value in job.items() if name != "SLURM_JOB_NODELIST"})
    assert done.returncode == 2
    assert "sbatch --nodes=2 recipes/slurm.sh run_permix_grpo.sh" in done.stderr
    unknown = submit(job, "run_nothing.sh")
    assert unknown.returncode == 2
    assert "no recipe" in unknown.stderr
