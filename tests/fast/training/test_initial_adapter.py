"""The initial adapter: seeded, with dropout, and without effect."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from permix_verl import UserError
from permix_verl.training.hooks.initial_adapter import make_initial_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from permix_verl.lab.base_model import build_model, build_tokenizer

    path = tmp_path_factory.mktemp("base")
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(path)
    build_model(tokenizer).save_pretrained(path)
    return path


def make(base: Path, out: Path, **changes: Any) -> dict[str, torch.Tensor]:
    settings: dict[str, Any] = {"rank": 8, "alpha": 16, "dropout": 0.05, "target_modules": ["q_proj"], "seed": 0}
    make_initial_adapter(str(base), out, **(settings | changes))
    return load_file(out / "adapter_model.safetensors")


def test_peft_loads_it_and_it_changes_nothing(base: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    make(base, tmp_path / "a", target_modules="all-linear")
    plain = AutoModelForCausalLM.from_pretrained(base)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        before = plain(ids).logits
        after = PeftModel.from_pretrained(plain, str(tmp_path / "a"))(ids).logits
    assert torch.equal(before, after)


def test_the_same_seed_gives_the_same_weights_and_another_gives_others(base: Path, tmp_path: Path) -> None:
    first, same, other = make(base, tmp_path / "a"), make(base, tmp_path / "b"), make(base, tmp_path / "c", seed=1)
    assert all(torch.equal(first[name], same[name]) for name in first)
    a = [name for name in first if "lora_A" in name]
    assert a
    assert not any(torch.equal(first[name], other[name]) for name in a)
    assert not torch.equal(first[a[0]], first[a[1]]), "layers must not start alike"
    bound = first[a[0]].shape[1] ** -0.5
    assert 0.9 * bound < float(first[a[0]].abs().max()) <= bound
    assert not any(first[name].any() for name in first if "lora_B" in name)


def test_its_config_has_the_settings(base: Path, tmp_path: Path) -> None:
    make(base, tmp_path / "a", target_modules=["q_proj", "v_proj"])
    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 16, 0.05)
    assert sorted(config["target_modules"]) == ["q_proj", "v_proj"]
    assert config["base_model_name_or_path"] == str(base)


def test_an_identical_adapter_is_not_rewritten_and_another_replaces_it(base: Path, tmp_path: Path) -> None:
    make(base, tmp_path / "a")
    written = (tmp_path / "a" / "adapter_model.safetensors").stat().st_mtime_ns
    make(base, tmp_path / "a")
    assert (tmp_path / "a" / "adapter_model.safetensors").stat().st_mtime_ns == written
    assert next(iter(make(base, tmp_path / "a", rank=4).values())).shape[0] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "the LoRA rank is 0; set LORA_RANK to 1 or more"),
        ({"dropout": 1.0}, "the LoRA dropout is 1.0; set LORA_DROPOUT"),
        ({"target_modules": ["nothing"]}, "PEFT refuses the adapter: .*nothing.*; set model.target_modules"),
        ({"base": "nobody/nothing"}, "cannot read the configuration of model 'nobody/nothing'"),
    ],
)
def test_bad_input_is_one_clear_error_and_leaves_nothing(
    base: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    model = Path(changes.pop("base", base))
    with pytest.raises(UserError, match=message):
        make(model, tmp_path / "a", **changes)
    assert list(tmp_path.iterdir()) == []
