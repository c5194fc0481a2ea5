"""Merging: the folder says what the adapter says, and what would be the base again is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from permix_verl import UserError
from permix_verl.command import run
from permix_verl.lab.base import MODEL
from permix_verl.training.merge import merge


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of the lab's base whose weights are not zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    return folder


def test_the_merged_folder_is_plain_and_says_what_the_adapter_says(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "merged"
    assert run(["merge", "--base", str(MODEL), "--adapter", str(adapter), "--out", str(out), "--dtype", "float32"]) == 0
    assert "nats a token from the adapter's" in capsys.readouterr().out
    assert not list(out.glob("adapter*"))
    assert AutoTokenizer.from_pretrained(out).chat_template == AutoTokenizer.from_pretrained(MODEL).chat_template
    ids = torch.tensor([[1, 5, 9, 12]])
    from peft import PeftModel

    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    with torch.no_grad():
        of_base = base(ids).logits.clone()
        of_adapter = PeftModel.from_pretrained(base, adapter).eval()(ids).logits
        of_merged = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()(ids).logits
    assert (of_merged - of_adapter).abs().max() < 1e-3
    assert (of_base - of_adapter).abs().max() > 0.1


def test_an_adapter_without_scale_or_training_is_refused(adapter: Path, tmp_path: Path) -> None:
    without = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((without / "adapter_config.json").read_text())
    (without / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 0}))
    with pytest.raises(UserError, match="changes nothing: no log-prob of the base"):
        merge(str(MODEL), without, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_weights_that_are_too_coarse_for_the_adapter_are_refused(adapter: Path, tmp_path: Path) -> None:
    faint = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((faint / "adapter_config.json").read_text())
    (faint / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 0.01}))
    with pytest.raises(UserError, match="too coarse for it; give --dtype float32"):
        merge(str(MODEL), faint, tmp_path / "merged", "bfloat16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]
    check = merge(str(MODEL), faint, tmp_path / "merged", "float32")
    assert check.merged < 0.1 * check.base


def test_what_does_not_load_or_is_there_already_is_named(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there already"):
        merge(str(MODEL), adapter, tmp_path)
    with pytest.raises(UserError, match="do not load together"):
        merge(str(MODEL), tmp_path, tmp_path / "merged")
