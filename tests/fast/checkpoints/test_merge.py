"""Merging: the merged model equals the adapter's, and a merge that loses the adapter is refused."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from permix_verl import UserError
from permix_verl.checkpoints.adapter_base import FINGERPRINT, record_base, weights_fingerprint
from permix_verl.checkpoints.merge import merge
from permix_verl.cli.main import run
from permix_verl.lab.base_model import MODEL


def trained_adapter(folder: Path) -> Path:
    """Write an adapter of rank 4 for the lab's base, with nonzero weights."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.02)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_adapter(tmp_path_factory.mktemp("adapter"))


def test_the_merged_folder_is_plain_and_says_what_the_adapter_says(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "merged"
    assert run(["merge", "--base", str(MODEL), "--adapter", str(adapter), "--out", str(out), "--dtype", "float32"]) == 0
    assert "its log-probs differ from the adapter's by" in capsys.readouterr().out
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
    with pytest.raises(UserError, match="changes no log-prob of the base"):
        merge(str(MODEL), without, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_weights_that_are_too_coarse_for_the_adapter_are_refused(adapter: Path, tmp_path: Path) -> None:
    faint = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((faint / "adapter_config.json").read_text())
    (faint / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 0.01}))
    with pytest.raises(UserError, match="too coarse; give --dtype float32"):
        merge(str(MODEL), faint, tmp_path / "merged", "bfloat16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter"]
    check = merge(str(MODEL), faint, tmp_path / "merged", "float32")
    assert check.merged < 0.1 * check.base


def test_what_does_not_load_or_is_there_already_is_named(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="already exists"):
        merge(str(MODEL), adapter, tmp_path)
    with pytest.raises(UserError, match="cannot be loaded together"):
        merge(str(MODEL), tmp_path, tmp_path / "merged")


def rewrite(adapter: Path, out: Path, change: Callable[[str], str | None]) -> Path:
    """Copy an adapter with changed keys; drop keys that become ``None``."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(adapter, out)
    weights = load_file(out / "adapter_model.safetensors")
    changed = {new: value for key, value in weights.items() if (new := change(key)) is not None}
    save_file(changed, out / "adapter_model.safetensors", metadata={"format": "pt"})
    return out


def rename_base(adapter: Path, out: Path, base: str) -> Path:
    """Copy an adapter and record another base."""
    shutil.copytree(adapter, out)
    config = json.loads((out / "adapter_config.json").read_text())
    (out / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": base}))
    return out


def other_base(out: Path) -> Path:
    """Write a model of the lab's shape with other weights."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype="auto")
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.01)
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(out)
    return out


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda key: key.replace("layers.1.", "layers.91."), r"layers\.91\.\S+ \(the base has no such layer\)"),
        (lambda key: None if "layers.1." in key else key, r"layers\.1\.\S+ \(missing in the adapter\)"),
    ],
)
def test_an_adapter_of_which_some_keys_do_not_fit_is_refused(
    adapter: Path, tmp_path: Path, change: Callable[[str], str | None], reason: str
) -> None:
    half = rewrite(adapter, tmp_path / "half", change)
    with pytest.raises(UserError, match=rf"does not fit .*: \d+ of \d+ keys, such as .*{reason}.* and \d+ more; give"):
        merge(str(MODEL), half, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
    # Negative control: the same copy with every key.
    merge(str(MODEL), rewrite(adapter, tmp_path / "whole", lambda key: key), tmp_path / "merged", "float32")


def test_other_shapes_are_named(adapter: Path, tmp_path: Path) -> None:
    wider = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    config = json.loads((wider / "adapter_config.json").read_text())
    (wider / "adapter_config.json").write_text(json.dumps(config | {"r": 3}))
    with pytest.raises(UserError, match=r"lora_A\.weight \(has shape \(4, \d+\), not \(3, \d+\)\)"):
        merge(str(MODEL), wider, tmp_path / "merged")


def test_keys_with_the_adapter_s_name_are_refused_for_that(adapter: Path, tmp_path: Path) -> None:
    named = rewrite(adapter, tmp_path / "named", lambda key: key.replace(".weight", ".default.weight"))
    with pytest.raises(UserError, match=r'contain the adapter.s name, "default" .*; strip "\.default" from the keys'):
        merge(str(MODEL), named, tmp_path / "merged")
    # Negative control: what the remedy makes of it.
    stripped = rewrite(named, tmp_path / "stripped", lambda key: key.replace(".default", ""))
    merge(str(MODEL), stripped, tmp_path / "merged", "float32")


def test_another_model_of_the_same_shape_is_refused(adapter: Path, tmp_path: Path) -> None:
    other = other_base(tmp_path / "other")
    with pytest.raises(UserError, match=r"was trained on .* \(weights \w{16}\), but .*other has other weights"):
        merge(str(other), adapter, tmp_path / "merged")
    # By the recorded hash alone: the folder that it was trained on is gone.
    gone = rename_base(adapter, tmp_path / "gone", "/gone/base")
    record_base(gone, str(MODEL))
    with pytest.raises(UserError, match=rf"has other weights .*, or remove .*{FINGERPRINT}"):
        merge(str(other), gone, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_the_same_weights_elsewhere_are_the_same_base(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Negative control: moved, and split over more files."""
    moved = tmp_path / "moved"
    AutoModelForCausalLM.from_pretrained(MODEL, dtype="auto").save_pretrained(moved, max_shard_size="2MB")
    AutoTokenizer.from_pretrained(MODEL).save_pretrained(moved)
    assert len(list(moved.glob("*.safetensors"))) > 1
    assert weights_fingerprint(str(moved)) == weights_fingerprint(str(MODEL)) is not None
    check = merge(str(moved), adapter, tmp_path / "merged", "float32")
    assert check.merged < 0.1 * check.base
    assert "warning" not in capsys.readouterr().err


def test_a_base_that_cannot_be_compared_is_said(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = rename_base(adapter, tmp_path / "gone", "/gone/base")
    merge(str(MODEL), gone, tmp_path / "merged", "float32")
    assert f"warning: {gone} was trained on /gone/base, and --base is {MODEL}; their weights" in capsys.readouterr().err
    merge(str(MODEL), rename_base(adapter, tmp_path / "none", ""), tmp_path / "again", "float32")
    assert "does not record its base" in capsys.readouterr().err


@pytest.mark.parametrize(("base", "told"), [("a/one", None), ("b/two", "was trained on a/one, not on b/two")])
def test_hub_names_are_compared_by_name(adapter: Path, tmp_path: Path, base: str, told: str | None) -> None:
    from permix_verl.checkpoints.adapter_base import check_base

    hub = rename_base(adapter, tmp_path / "hub", "a/one")
    if told is None:
        assert check_base(hub, base) is None
    else:
        with pytest.raises(UserError, match=told):
            check_base(hub, base)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_weights_have_the_mode_of_the_umask(adapter: Path, tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        merge(str(MODEL), adapter, tmp_path / "merged", "float32")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "merged").iterdir()} == {mode}
