"""Bases quantized on disk: detected, and refused for training and merging."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError
from permix_verl.checkpoints.merge import merge
from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor.model import model_files
from permix_verl.preflight.doctor.types import Setup
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.quantized_base import quantization_of
from permix_verl.runs.settings import begin_run
from permix_verl.runs.trainers import GRPO, SFT, Trainer

from ...support.configs import bare

METHODS: dict[str, dict[str, Any]] = {
    "bitsandbytes, 4 bits": {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False},
    "bitsandbytes, 8 bits": {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True},
    "gptq, 4 bits": {"quant_method": "gptq", "bits": 4, "group_size": 128},
    "awq, 4 bits": {"quant_method": "awq", "bits": 4},
    "fp8": {"quant_method": "fp8", "activation_scheme": "dynamic"},
    "compressed-tensors": {"quant_method": "compressed-tensors", "format": "float-quantized"},
}


def base(folder: Path, method: dict[str, Any] | None) -> str:
    copy = Path(shutil.copytree(MODEL, folder / "base"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | ({"quantization_config": method} if method else {})))
    return str(copy)


@pytest.mark.parametrize("name", METHODS)
def test_each_is_named_and_refused(name: str, tmp_path: Path) -> None:
    model = base(tmp_path, METHODS[name])
    assert quantization_of(model) == name
    said = rf"is quantized on disk \({name}\)"
    with pytest.raises(
        UserError, match=rf"{said}, and an adapter cannot be added .*; give --base the unquantized model"
    ):
        merge(model, tmp_path / "adapter", tmp_path / "merged")
    (found,) = model_files(Setup(model=model))
    assert (found.severity, "quantized on disk" in found.text, "QLORA=1" in found.remedy) == ("error", True, True)


@pytest.mark.parametrize("trainer", [GRPO, SFT])
@pytest.mark.parametrize("method", [METHODS["fp8"], None])
def test_a_run_on_one_is_refused_before_anything_is_begun(
    tmp_path: Path, trainer: Trainer, method: dict[str, Any] | None
) -> None:
    run = RunFolder(tmp_path / "run", trainer)
    run.checkpoints.mkdir(parents=True)
    config = bare(f"{trainer.model}.path='{base(tmp_path, method)}'", trainer="grpo" if trainer is GRPO else "sft")
    if method is None:
        begin_run(run, config)
        return
    with pytest.raises(UserError, match=r"quantized on disk .*verl's engine cannot cast and shard .*QLORA=1 quantizes"):
        begin_run(run, config)
    assert not run.settings.exists()


def test_what_is_not_quantized_or_not_at_hand_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    for model in (str(MODEL), "some/model-that-is-not-cached", "/nowhere", "", *map(str, tmp_path.iterdir())):
        assert quantization_of(model) == "", model
    (found,) = model_files(Setup(model=str(MODEL)))
    assert found.severity == "ok"
