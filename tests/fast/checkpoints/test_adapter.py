"""Export of a sharded checkpoint as a PEFT folder, and a check that can fail."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from permix_verl import UserError
from permix_verl.checkpoints.adapter import AdapterCheck, check_adapter, export_adapter
from permix_verl.checkpoints.adapter_base import FINGERPRINT, weights_fingerprint
from permix_verl.inference.model_identity import adapter_identity
from permix_verl.lab.base_model import build_model
from permix_verl.runs.folder import RunFolder, latest_checkpoint
from permix_verl.training.run_checks import adapter_problems

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def lora_model(tokenizer: Any, folder: Path) -> tuple[Any, Path]:
    """Return a tiny model with a LoRA adapter that has an effect; its base is saved beside it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = build_model(tokenizer)
    base.save_pretrained(folder / "base")
    # 5 rows of rank: uneven over two shards.
    config = LoraConfig(r=5, lora_alpha=10, target_modules=MODULES, task_type="CAUSAL_LM")
    model = get_peft_model(base, config).eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model, folder / "base"


def lora_state(model: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items() if "lora_" in name}


def write_checkpoint(folder: Path, state: dict[str, Any], meta: dict[str, Any]) -> Path:
    actor = folder / "global_step_3" / "actor"
    actor.mkdir(parents=True)
    torch.save(state, actor / "model_world_size_1_rank_0.pt")
    (actor / "lora_train_meta.json").write_text(json.dumps(meta))
    return actor.parent


def write_record(model: Any, checkpoint: Path) -> Path:
    """Write a record as the callback does: rollouts with the model's own log-probs."""
    # More rows than one batch, of several lengths.
    prompts, responses = [[5, 6, 7], [8, 9, 10, 11]] * 5, [[12, 13], [14, 15, 16]] * 5
    log_probs = []
    for prompt, response in zip(prompts, responses, strict=True):
        ids = torch.tensor([prompt + response])
        with torch.no_grad():
            values = model(ids).logits.log_softmax(-1)[0]
        log_probs.append([float(values[len(prompt) - 1 + i, token]) for i, token in enumerate(response)])
    record = {"temperature": 1.0, "prompts": prompts, "responses": responses, "log_probs": log_probs}
    torch.save(record, checkpoint / "rollout_log_probs.pt")
    return checkpoint / "rollout_log_probs.pt"


META = {"r": 5, "lora_alpha": 10}


def test_an_exported_adapter_loads_with_peft_and_is_the_model(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], sorted(config["target_modules"])) == (5, 10, sorted(MODULES))
    assert not (tmp_path / "adapter.partial").exists()
    check = check_adapter(adapter, str(base), write_record(model, checkpoint), torch.float32, "cpu")
    assert check.tokens == 25
    assert check.largest < 1e-5
    assert check.base_largest > 1e-3
    assert adapter_problems(check, "largest", 1e-4) == []


def test_an_adapter_is_the_same_bytes_in_every_process(tokenizer: Any, tmp_path: Path) -> None:
    """PEFT writes a set: its order is sorted by chance with probability 1 in 5,040."""
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    assert json.loads((adapter / "adapter_config.json").read_text())["target_modules"] == sorted(MODULES)
    first = adapter_identity(str(adapter))
    assert adapter_identity(str(export_adapter(checkpoint, str(base), tmp_path / "adapter"))) == first


def test_an_adapter_records_the_weights_of_its_base(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    assert (adapter / FINGERPRINT).read_text().strip() == weights_fingerprint(str(base)) is not None
    # It is no part of the adapter: what was evaluated before it was recorded is the same adapter.
    identity = adapter_identity(str(adapter))
    (adapter / FINGERPRINT).unlink()
    assert adapter_identity(str(adapter)) == identity
    # A base that is not here is not recorded.
    elsewhere = export_adapter(checkpoint, "nobody/nothing", tmp_path / "elsewhere")
    assert not (elsewhere / FINGERPRINT).exists()


def test_an_adapter_can_be_read_by_whom_the_umask_lets(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    before = os.umask(0o022)
    try:
        adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in adapter.iterdir()} == {0o644}


def test_an_adapter_that_is_not_the_model_is_seen(tokenizer: Any, tmp_path: Path) -> None:
    """Negative control: the same weights under another alpha."""
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META | {"lora_alpha": 20})
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    check = check_adapter(adapter, str(base), write_record(model, checkpoint), torch.float32, "cpu")
    assert check.largest > 1e-3
    assert "is not the trained model" in adapter_problems(check, "largest", 1e-4)[0]


def test_a_coarse_tolerance_still_tells_the_adapter_from_the_base() -> None:
    """Small differences prove nothing if the base is as close, as in bf16."""
    trained = AdapterCheck(tokens=100, largest=0.4, mean=0.02, base_largest=3.0, base_mean=0.2)
    assert adapter_problems(trained, "mean", 0.05) == []
    empty = AdapterCheck(tokens=100, largest=0.4, mean=0.04, base_largest=0.4, base_mean=0.06)
    assert "holds little of the training" in adapter_problems(empty, "mean", 0.05)[0]
    assert "is not the trained model" in adapter_problems(empty, "largest", 0.05)[0]


def test_a_policy_that_hardly_moved_is_not_a_failure() -> None:
    still = AdapterCheck(tokens=100, largest=1e-6, mean=1e-7, base_largest=1e-6, base_mean=1e-7)
    assert adapter_problems(still, "largest", 1e-4) == []


def test_a_checkpoint_that_is_none_is_refused(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    with pytest.raises(UserError, match="no model_world_size"):
        export_adapter(tmp_path, str(base), tmp_path / "adapter")
    full = write_checkpoint(tmp_path / "full", {"w": torch.ones(1)}, META)
    with pytest.raises(UserError, match="has no LoRA weights"):
        export_adapter(full, str(base), tmp_path / "adapter")
    unscaled = write_checkpoint(tmp_path / "unscaled", lora_state(model), {"r": 5})
    with pytest.raises(UserError, match="has no rank or alpha"):
        export_adapter(unscaled, str(base), tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()


def test_without_recorded_rollouts_there_is_no_check(tokenizer: Any, tmp_path: Path) -> None:
    model, base = lora_model(tokenizer, tmp_path)
    checkpoint = write_checkpoint(tmp_path, lora_state(model), META)
    adapter = export_adapter(checkpoint, str(base), tmp_path / "adapter")
    with pytest.raises(UserError, match=r"no .*rollout_log_probs.pt; train with"):
        check_adapter(adapter, str(base), checkpoint / "rollout_log_probs.pt", torch.float32, "cpu")


def test_the_latest_checkpoint_is_the_one_verl_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert latest_checkpoint(folder) is None
    for step in (2, 4):
        (folder.checkpoints / f"global_step_{step}").mkdir(parents=True)
    folder.tracker.write_text("2")
    assert latest_checkpoint(folder) == folder.checkpoints / "global_step_2"
