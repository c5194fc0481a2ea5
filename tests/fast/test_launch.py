"""The launcher's bookkeeping: settings of a run, its length, its failures, its processes."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from permix_verl import UserError
from permix_verl.training import processes
from permix_verl.training.launch import explain_failure
from permix_verl.training.run_folder import RunFolder, as_dict, exclusive, finished_step, remember_settings, total_steps


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.data.mkdir()
    run.checkpoints.mkdir()
    pq.write_table(pa.table({"x": list(range(50))}), run.data / "train.parquet")
    return run


def overrides(folder: RunFolder, *more: str) -> list[str]:
    train = folder.data / "train.parquet"
    return [f"data.train_files={train}", "data.train_batch_size=8", "trainer.total_epochs=2", *more]


def test_steps_are_counted_as_verl_counts_them(folder: RunFolder) -> None:
    assert total_steps(overrides(folder)) == 12
    assert total_steps(overrides(folder, "trainer.total_training_steps=5")) == 5
    assert total_steps(overrides(folder, "trainer.total_training_steps=null")) == 12
    assert total_steps(overrides(folder, "data.train_batch_size=16")) == 6
    with pytest.raises(UserError, match="50 training rows do not fill one batch of 64; set BATCH to at most 50"):
        total_steps(overrides(folder, "data.train_batch_size=64"))


def test_a_run_goes_on_with_its_own_settings_only(folder: RunFolder) -> None:
    remember_settings(folder, overrides(folder, "+a.b=1"))
    remember_settings(folder, overrides(folder, "+a.b=1"))
    remember_settings(folder, overrides(folder, "+a.b=1", "trainer.total_epochs=3"))
    with pytest.raises(UserError, match=r"holds a run with a\.b=1, and this command has a\.b=2; set another RUN_DIR"):
        remember_settings(folder, overrides(folder, "+a.b=2"))


def test_a_run_does_not_go_on_with_other_data(folder: RunFolder) -> None:
    remember_settings(folder, overrides(folder))
    pq.write_table(pa.table({"x": list(range(51))}), folder.data / "train.parquet")
    with pytest.raises(UserError, match="holds a run with training data"):
        remember_settings(folder, overrides(folder))


def test_two_launches_cannot_share_a_folder(folder: RunFolder) -> None:
    with exclusive(folder), pytest.raises(UserError, match="another run is using"), exclusive(folder):
        pass
    with exclusive(folder):
        pass


def test_overrides_are_read_as_hydra_reads_them() -> None:
    assert as_dict(["a=1", "+b.c=x=y", "++d='/p q'", "a=3"]) == {"a": "3", "b.c": "x=y", "d": "/p q"}


def test_the_finished_step_is_verls_tracker(folder: RunFolder) -> None:
    assert finished_step(folder) == 0
    (folder.checkpoints / "latest_checkpointed_iteration.txt").write_text("7")
    assert finished_step(folder) == 7


RAY_LOG = """\
\x1b[36m(TaskRunnerV1 pid=4652)\x1b[0m loading
ray.exceptions.RayTaskError(UserError): \x1b[36mray::TaskRunnerV1.run()\x1b[39m (pid=15243)
    raise UserError(
permix_verl.errors.UserError: row 3: bad
"""


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (RAY_LOG, "row 3: bad"),
        (RAY_LOG + "ValueError: after it\n", "row 3: bad"),
        (
            "(WorkerDict pid=1) RuntimeError: out of memory\nray.exceptions.ActorDiedError: x\n",
            "RuntimeError: out of memory",
        ),
        ("nothing to see\n", None),
    ],
)
def test_a_failure_names_its_cause_out_of_verls_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str, cause: str | None
) -> None:
    file = tmp_path / "log"
    file.write_text(log + "x\n" * 50)
    explain_failure(1, file)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (f"error: {cause}" if cause else f"error: verl ended with status 1; full log: {file}")


def test_orphans_of_a_run_are_found_and_ended_and_others_are_not() -> None:
    token, other = processes.new_token(), processes.new_token()
    sleeper = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "time.sleep(60)"
    )

    def start(value: str) -> subprocess.Popen[bytes]:
        environment = {processes.TOKEN_VARIABLE: value, "PATH": "/usr/bin:/bin"}
        return subprocess.Popen([sys.executable, "-c", sleeper], env=environment, start_new_session=True)

    ours, theirs = start(token), start(other)
    try:
        deadline = time.monotonic() + 10
        while len(processes.running(token)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(processes.running(token)) == 2
        assert processes.end_all(token) >= 2
        ours.wait(timeout=10)
        assert processes.running(token) == []
        assert theirs.poll() is None
    finally:
        processes.end_all(other)
        theirs.wait(timeout=10)
