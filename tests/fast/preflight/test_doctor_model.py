"""Doctor checks of the model: files, tokenizer, chat template and context."""

import json
import shutil
from pathlib import Path

from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor import model
from permix_verl.preflight.doctor.types import Setup

from ...support.doctor import only, problems, setup_with


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(MODEL, folder / "model"))


def test_model_files_that_are_missing_or_placeholders(tmp_path: Path) -> None:
    assert problems(model.model_files, Setup(str(MODEL))) == []
    broken = copied(tmp_path)
    weights = next(broken.glob("*.safetensors"))
    weights.write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "is a Git LFS pointer" in only(model.model_files, Setup(str(broken)))
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (broken / "model.safetensors.index.json").write_text(json.dumps(index))
    (broken / "config.json").unlink()
    assert "no config.json, no model-00001-of-00002.safetensors" in only(model.model_files, Setup(str(broken)))
    assert "no model folder /none" in only(model.model_files, Setup("/none"))
    assert "hf download a/b" in only(model.model_files, Setup("a/b"), "warning")


def test_a_context_that_is_too_short() -> None:
    setup = setup_with("data.max_prompt_length=1000", "data.max_response_length=512", model=str(MODEL))
    assert "up to 1512 tokens, but the model's context is 1024" in only(model.context_length, setup)
    supervised = setup_with("data.max_length=2048", model=str(MODEL), trainer="sft")
    assert "up to 2048 tokens" in only(model.context_length, supervised)
