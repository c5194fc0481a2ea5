"""Final messages of the launcher about a run that failed."""

from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.explain.choosing import explain
from permix_verl.training.failure import explain_failure, probable_cause
from permix_verl.utils.console import permix_command

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
def test_the_cause_of_a_failure_is_read_from_verls_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], log: str, cause: str | None
) -> None:
    file = tmp_path / "log"
    file.write_text(log + "x\n" * 50)
    explain_failure(1, file, tmp_path / "no_cause.txt")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (f"error: {cause}" if cause else f"error: verl ended with status 1; full log: {file}")


def test_the_watchdogs_cause_is_the_last_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, cause = tmp_path / "log", tmp_path / "cause.txt"
    log.write_text("ray.exceptions.ActorDiedError: The actor died\nValueError: something else\n")
    explain_failure(1, log, cause)
    assert capsys.readouterr().err.strip().splitlines()[-1] == "error: ValueError: something else"
    cause.write_text("rollout server 0 is gone")
    explain_failure(1, log, cause)
    assert capsys.readouterr().err.strip().splitlines()[-1] == "error: rollout server 0 is gone"


@pytest.mark.parametrize(
    ("lost", "last"),
    [
        (["10.0.0.2"], "error: node 10.0.0.2 of the Ray cluster is gone; start Ray there again, or on another one"),
        ([], "error: another process ended; this one only saw it (RuntimeError: Connection closed by peer)"),
        (UserError("nobody answers"), "error: the Ray cluster is gone, or its first node: nobody answers"),
    ],
)
def test_a_lost_node_is_the_last_line(
    lost: list[str] | Exception,
    last: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def nodes_lost(nodes: list[str]) -> list[str]:
        assert nodes == ["c0de", "beef"]
        if isinstance(lost, Exception):
            raise lost
        return lost

    monkeypatch.setattr("permix_verl.training.failure.nodes_lost", nodes_lost)
    (tmp_path / "log").write_text("RuntimeError: Connection closed by peer\n")
    explain_failure(1, tmp_path / "log", tmp_path / "cause.txt", ["c0de", "beef"])
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith(last)
    assert any(line.startswith("error: ") and "(RuntimeError: Connection closed by peer)" in line for line in lines)


NODE_LOST = """
Error executing job with overrides: ["data.train_files='/runs/x/train.parquet'"]
ray.exceptions.ActorUnavailableError: The actor e1c3 is unavailable: RpcError: Socket closed rpc_code: 14.
Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
""".splitlines()


def test_a_trainer_lost_with_its_node_is_reported() -> None:
    cause = probable_cause(explain(NODE_LOST))
    assert cause is not None
    assert cause.startswith("a process cannot be reached any more, perhaps with its node (ray.exceptions.ActorUnav")
    assert "the same command then goes on from the last checkpoint" in cause
    assert probable_cause(explain([*RAY_LOG.splitlines(), *NODE_LOST])) == "row 3: bad", "what says why comes first"


def test_a_known_cause_is_reported_with_remedy_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text(
        "Loading: 10%\r20%\r30%\n"
        "(WorkerDict pid=7) torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.\n"
        "ray.exceptions.ActorDiedError: The actor died unexpectedly\n"
    )
    explain_failure(1, tmp_path / "log", tmp_path / "cause.txt")
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("error: a GPU is out of memory (torch.OutOfMemoryError: CUDA out of memory. Tried to")
    assert "ppo_micro_batch_size_per_gpu" in lines[-1]
    assert lines[-2].strip() == (
        "line 2 by WorkerDict pid=7: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.; "
        f"1 other errors; {permix_command()} doctor --explain {tmp_path / 'log'}"
    )


ACTOR_LOST = """
(raylet) A worker died or was killed while executing a task by an unexpected system error. Lease ID: 01 Worker ID: 38
Traceback (most recent call last):
  File "/opt/x.py", line 1, in <module>
    ray.get(reply)
ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.
\tclass_name: TransferQueueController
\tactor_id: 8b0c719aa1c1cce1cb5599aa01000000
The actor is dead because its worker process has died.
""".strip().splitlines()


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (ACTOR_LOST, "a Ray actor's process is gone, and did not say why: TransferQueueController (A worker died"),
        (ACTOR_LOST[:1], "a Ray actor's process is gone, and did not say why (A worker died"),
    ],
)
def test_a_dead_actor_is_named_by_its_class_where_ray_says_it(lines: list[str], named: str) -> None:
    assert str(probable_cause(explain(lines))).startswith(named)
