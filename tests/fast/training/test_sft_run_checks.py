"""The check of an SFT run's adapter: it passes for the trained adapter and fails for any other."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from permix_verl.cli import prep_sft as gsm8k_sft
from permix_verl.lab.base_model import MODEL
from permix_verl.training.hooks.initial_adapter import make_initial_adapter
from permix_verl.training.launch_settings import LaunchSettings
from permix_verl.training.sft_run_checks import HeldOutLoss, held_out_loss, held_out_problems

from ...support.configs import bare_of

GOOD = HeldOutLoss(rows=32, tokens=900, trained=0.5, adapter=0.50004, base=0.9, change=-0.4, standard_error=0.02)


def test_the_trained_adapter_passes() -> None:
    assert held_out_problems(GOOD, 1e-4) == []


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (replace(GOOD, adapter=0.9), "the adapter is not the trained model: its held-out loss is 0.90000"),
        (replace(GOOD, adapter=float("nan")), "the adapter is not the trained model"),
        (replace(GOOD, adapter=0.50009, base=0.50015), "hardly nearer to the trained model"),
    ],
)
def test_any_other_adapter_fails(loss: HeldOutLoss, message: str) -> None:
    (problem,) = held_out_problems(loss, 1e-4)
    assert message in problem


@pytest.fixture
def arguments(problem_file: Path, tmp_path: Path) -> LaunchSettings:
    given = ["--data", str(problem_file), "--tokenizer", str(MODEL), "--out", str(tmp_path / "data")]
    gsm8k_sft.main([*given, "--val-problems", "5"])
    data = {"val_files": f"{tmp_path}/data/val.parquet", "max_length": 256, "train_batch_size": 4}
    settings = {f"data.{key}": value for key, value in data.items()} | {"data.apply_chat_template_kwargs": {}}
    return LaunchSettings(bare_of({**settings, "model.path": str(MODEL), "permix.check.device": "cpu"}, "sft"))


def test_an_untrained_adapter_has_the_bases_loss_and_fails(arguments: LaunchSettings, tmp_path: Path) -> None:
    adapter = make_initial_adapter(
        str(MODEL), tmp_path / "adapter", rank=4, alpha=8, dropout=0.05, target_modules=["q_proj"], seed=0
    )
    loss = held_out_loss(adapter, arguments, trained=0.001, dtype=torch.float32)
    assert loss.rows == 5
    assert loss.adapter == pytest.approx(loss.base)
    assert loss.change == 0
    assert held_out_problems(loss, 1e-4)


def test_the_loss_is_averaged_as_verl_does(arguments: LaunchSettings, tmp_path: Path) -> None:
    """Four rows in one batch and one in the next: the mean of two means over tokens."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from permix_verl.data.sft_dataset import SupervisedDataset

    adapter = make_initial_adapter(
        str(MODEL), tmp_path / "adapter", rank=4, alpha=8, dropout=0.05, target_modules=["q_proj"], seed=0
    )
    loss = held_out_loss(adapter, arguments, trained=0.001, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = SupervisedDataset(str(tmp_path / "data" / "val.parquet"), tokenizer, {"max_length": 256}).rows
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    sums, counts = [], []
    for prompt, said in rows:
        labels = torch.tensor([[-100] * len(prompt) + said])
        with torch.no_grad():
            mean = model(input_ids=torch.tensor([prompt + said]), labels=labels).loss.item()
        sums.append(mean * len(said))
        counts.append(len(said))
    assert loss.base == pytest.approx((sum(sums[:4]) / sum(counts[:4]) + sums[4] / counts[4]) / 2, rel=1e-5)


def test_a_checkpoint_of_two_ranks_needs_both_dataloader_states(tmp_path: Path) -> None:
    from permix_verl.runs.folder import RunFolder, finished_step
    from permix_verl.runs.trainers import SFT

    folder = RunFolder(tmp_path, SFT)
    for step in (8, 16):
        checkpoint = folder.checkpoints / f"global_step_{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "lora_train_meta.json").write_text("{}")
        for rank in range(2):
            torch.save({}, checkpoint / f"model_world_size_2_rank_{rank}.pt")
            torch.save({}, checkpoint / f"data_{rank}.pt")
    folder.tracker.write_text("16")
    assert finished_step(folder) == 16
    torn = folder.checkpoints / "global_step_16" / "data_1.pt"
    torn.write_bytes(torn.read_bytes()[:-30])
    assert finished_step(folder) == 8
    torn.unlink()
    folder.tracker.write_text("16")
    assert finished_step(folder) == 8
