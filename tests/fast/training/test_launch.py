"""Bookkeeping of the launcher: the settings, length and folder of a run."""

import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from permix_verl import UserError, load_pool
from permix_verl.config.compose import RunConfig
from permix_verl.config.quoting import quote_value
from permix_verl.data.schema import DRAW_METADATA
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.runs.folder import RunFolder, finished_step, lock_run_folder, recorded_step, rewind_tracker
from permix_verl.runs.settings import begin_run
from permix_verl.runs.steps import total_steps
from permix_verl.utils import processes

from ...support.configs import bare


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.data.mkdir()
    run.checkpoints.mkdir()
    draw = PersonaDraw(load_pool("train"), seed=0)
    rows = pa.table({"x": list(range(50))}).replace_schema_metadata({DRAW_METADATA: draw.to_json().encode()})
    pq.write_table(rows, run.data / "train.parquet")
    return run


def config(folder: RunFolder, *more: str) -> RunConfig:
    train = quote_value(str(folder.data / "train.parquet"))
    return bare(f"data.train_files={train}", "data.train_batch_size=8", "data.epochs=2", *more)


def test_steps_are_counted_as_verl_counts_them(folder: RunFolder) -> None:
    assert total_steps(config(folder)) == 12
    assert total_steps(config(folder, "trainer.total_training_steps=5")) == 5
    assert total_steps(config(folder, "trainer.total_training_steps=null")) == 12
    assert total_steps(config(folder, "data.train_batch_size=16")) == 6
    assert total_steps(config(folder, "data.train_max_samples=20")) == 5
    with pytest.raises(UserError, match=r"steps=13 needs 104 rows .* have 100 .*set EPOCHS to at least 3"):
        total_steps(config(folder, "trainer.total_training_steps=13"))
    with pytest.raises(UserError, match="100 training rows do not fill one batch of 128; set BATCH to at most 100"):
        total_steps(config(folder, "data.train_batch_size=128"))


@pytest.mark.parametrize(
    ("checkpoints", "logged", "step"),
    [
        ([4, 5], [3, 4, 5], 5),
        ([4, 5], [3, 4], 4),  # killed between saving step 5 and recording it
        ([5], [3, 4], 5),  # no older checkpoint: a missing record is the smaller loss
        ([1], [], 0),  # one step is soon retrained
        ([9, 12], [9], 9),  # the last step, with an older checkpoint
        ([12], [9], 0),
    ],
)
def test_an_unlogged_step_is_retrained(folder: RunFolder, checkpoints: list[int], logged: list[int], step: int) -> None:
    for number in checkpoints:
        checkpoint(folder, number)
    assert recorded_step(folder, logged, total=12) == step
    assert finished_step(folder) == step


def test_rows_without_a_persona_draw_allow_one_epoch(folder: RunFolder) -> None:
    pq.write_table(pa.table({"x": list(range(50))}), folder.data / "train.parquet")
    assert total_steps(config(folder, "data.epochs=1")) == 6
    with pytest.raises(UserError, match=r"train.parquet has no persona draw in the metadata.*set EPOCHS=1"):
        total_steps(config(folder))


def checkpoint(folder: RunFolder, step: int) -> None:
    """Write a complete checkpoint."""
    path = folder.checkpoints / f"global_step_{step}"
    (path / "actor").mkdir(parents=True)
    (path / "actor" / "lora_train_meta.json").touch()
    (path / "data.pt").touch()
    folder.tracker.write_text(str(step))


def new_data(folder: RunFolder, rows: int) -> None:
    folder.new_data.mkdir()
    pq.write_table(pa.table({"x": list(range(rows))}), folder.new_data / "train.parquet")


def test_a_run_resumes_with_its_own_settings_only(folder: RunFolder) -> None:
    micro = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"
    begin_run(folder, config(folder, "+a.b=1", f"{micro}=4"))
    checkpoint(folder, 2)
    begin_run(folder, config(folder, "+a.b=1", f"{micro}=4"))
    begin_run(folder, config(folder, "+a.b=1", f"{micro}=4", "trainer.save_freq=3"))
    begin_run(folder, config(folder, "+a.b=1", f"{micro}=2"))
    with pytest.raises(UserError, match=r"holds a run with a\.b=1, but this command has a\.b=2; set another RUN_DIR"):
        begin_run(folder, config(folder, "+a.b=2", f"{micro}=2"))
    with pytest.raises(UserError, match=r"holds a run with data\.epochs=2"):
        begin_run(folder, config(folder, "+a.b=1", f"{micro}=2", "data.epochs=3"))


def test_a_run_without_a_checkpoint_may_restart_with_other_settings(folder: RunFolder) -> None:
    folder.metrics.mkdir()
    (folder.metrics / "1.jsonl").write_text('{"step": 1, "data": {}}\n')
    begin_run(folder, config(folder, "actor_rollout_ref.rolout.n=4"))
    begin_run(folder, config(folder, "actor_rollout_ref.rollout.n=4"))
    assert list(folder.metrics.iterdir()) == []
    assert [file.name for file in folder.path.glob("superseded/*/*")] == ["1.jsonl"]


def test_a_run_refuses_other_data_and_keeps_its_own(folder: RunFolder) -> None:
    begin_run(folder, config(folder))
    checkpoint(folder, 2)
    before = (folder.data / "train.parquet").read_bytes()
    new_data(folder, 51)
    with pytest.raises(UserError, match="holds a run with training data"):
        begin_run(folder, config(folder))
    assert (folder.data / "train.parquet").read_bytes() == before
    assert not folder.new_data.exists()


def test_prepared_data_becomes_the_runs_data(folder: RunFolder) -> None:
    new_data(folder, 51)
    begin_run(folder, config(folder))
    assert pq.read_metadata(folder.data / "train.parquet").num_rows == 51
    assert not folder.new_data.exists()


def test_a_truncated_tracker_falls_back_to_the_newest_complete_checkpoint(folder: RunFolder) -> None:
    assert finished_step(folder) == 0
    for step in (2, 4):
        checkpoint(folder, step)
    assert finished_step(folder) == 4
    folder.tracker.write_text("")
    assert finished_step(folder) == 4
    assert folder.tracker.read_text() == "4"
    (folder.checkpoints / "global_step_4" / "data.pt").unlink()  # killed during the save
    folder.tracker.write_text("")
    assert finished_step(folder) == 2


def test_an_unlogged_last_step_is_retrained(folder: RunFolder) -> None:
    for step in (2, 4):
        checkpoint(folder, step)
    assert rewind_tracker(folder, before=4) == 2
    assert folder.tracker.read_text() == "2"
    assert rewind_tracker(folder, before=2) == 0
    assert not folder.tracker.exists()


def test_the_next_launch_ends_the_processes_of_a_killed_one(folder: RunFolder) -> None:
    token = processes.new_token()
    environment = {processes.TOKEN_VARIABLE: token, "PATH": "/usr/bin:/bin"}
    left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    folder.token.write_text(token)
    deadline = time.monotonic() + 10
    while not processes.find_processes(token) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert processes.find_processes(token)
    with lock_run_folder(folder):
        assert processes.find_processes(token) == []
    left.wait(timeout=10)


def test_two_launches_cannot_share_a_folder(folder: RunFolder) -> None:
    with lock_run_folder(folder), pytest.raises(UserError, match="another run is using"), lock_run_folder(folder):
        pass
    with lock_run_folder(folder):
        pass


@pytest.mark.parametrize("saved_with", [0, 1, 2])
@pytest.mark.parametrize("launched_with", [0, 2])
def test_the_data_loaders_position_survives_another_number_of_workers(
    tmp_path: Path, saved_with: int, launched_with: int
) -> None:
    import torch
    from torch.utils.data import SequentialSampler
    from torchdata.stateful_dataloader import StatefulDataLoader

    from permix_verl.training.hooks.dataloader_state import STATE_FILE, fit_to_workers

    def loader(workers: int) -> StatefulDataLoader:
        rows = list(range(50))
        sampler = SequentialSampler(rows)
        return StatefulDataLoader(rows, batch_size=8, num_workers=workers, drop_last=True, sampler=sampler)

    first = loader(saved_with)
    iterator = iter(first)
    for _ in range(2):
        next(iterator)
    torch.save(first.state_dict(), tmp_path / STATE_FILE)
    rewritten = fit_to_workers(tmp_path, rows=50, batch=8, step=2, workers=launched_with)
    assert rewritten == (saved_with != launched_with)
    resumed = loader(launched_with)
    resumed.load_state_dict(torch.load(tmp_path / STATE_FILE, weights_only=False))
    assert [batch.tolist()[0] for batch in resumed] == [16, 24, 32, 40]


@pytest.mark.parametrize("value", ["plain", "it's", "a, b=[c]", "", r"back\slash", r"back\'both", "end\\", "two words"])
def test_environment_values_survive_hydras_grammar(value: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert OverridesParser.create().parse_override(f"+a.b={quote_value(value)}").value() == value
