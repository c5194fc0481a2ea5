"""The trainer's process: ended with all its children when it hangs, its stage shown in the heartbeat."""

import time
from pathlib import Path

import pytest

from permix_verl.runs.folder import RunFolder
from permix_verl.runs.trainers import Trainer
from permix_verl.training import launch_watch, trainer_process
from permix_verl.training.guards.watchdog import CAUSE_FILE
from permix_verl.training.progress import Progress
from permix_verl.utils import processes

from ...support.configs import bare

HANGS = """
import time
raised = '''\\
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] EngineCore failed to start.
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] Traceback (most recent call last):
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1]   File "x", line 1, in f
(vLLMHttpServer pid=1) (EngineCore pid=2) ERROR 11-28 10:58:27 [core.py:1] OSError: [Errno 98] Address already in use'''
print(raised, flush=True)
time.sleep(600)
"""


def test_a_hanging_trainer_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launch_watch, "GRACE_S", 2.0)
    monkeypatch.setattr(launch_watch, "BUSY_GRACE_S", 2.0)
    (tmp_path / "trainer_that_hangs.py").write_text(HANGS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = RunFolder(tmp_path / "run", Trainer("trainer_that_hangs", False, "model", ".", "data.pt"))
    for each in (folder.logs, folder.metrics, folder.checkpoints):
        each.mkdir(parents=True)
    began = time.monotonic()
    status, log = trainer_process.train(folder, bare(), done=0, total=3, min_agreement=0.99)
    assert time.monotonic() - began < 30
    assert status == 1
    cause = (folder.path / CAUSE_FILE).read_text()
    assert "Address already in use" in cause
    assert "(while starting; verl has waited" in cause
    assert f"ending verl: {cause}" in capsys.readouterr().err
    assert "Address already in use" in log.read_text()
    assert processes.find_processes(folder.token.read_text()) == []


def test_the_heartbeat_shows_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("permix_verl.training.progress._HEARTBEAT_S", -1)
    folder = RunFolder(tmp_path)
    folder.metrics.mkdir()
    progress = Progress(folder, tmp_path / "log", total=3, min_agreement=0.99)
    progress.update("starting Ray")
    progress.update()
    assert [line.strip() for line in capsys.readouterr().err.splitlines()] == ["... 0 s, starting Ray", "... 0 s"]
