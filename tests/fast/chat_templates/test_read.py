"""Templates read from files, as transformers finds them."""

import json
import shutil
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.chat_templates.read import local_template, templates_in
from permix_verl.lab.base_model import MODEL

from ...support.template_tokenizers import OWN


def test_a_models_template_and_tokens_are_those_of_its_tokenizer(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = Path(shutil.copytree(MODEL, tmp_path / "model"))
    found = local_template(str(folder))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert found is not None
    assert found.text == tokenizer.chat_template
    assert found.tokens["bos_token"] == tokenizer.bos_token
    assert found.tokens["eos_token"] == tokenizer.eos_token


def test_a_template_in_the_tokenizers_configuration(tmp_path: Path) -> None:
    several = [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D {{ messages }}"}]
    config = {"chat_template": several, "bos_token": {"content": "<b>"}, "eos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = local_template(str(tmp_path))
    assert found is not None
    assert (found.text, dict(found.tokens)) == ("D {{ messages }}", {"bos_token": "<b>"})
    (tmp_path / "chat_template.jinja").write_text("J")
    assert getattr(local_template(str(tmp_path)), "text", "") == "J", "the file of its own wins"


def test_a_model_without_a_template_or_not_there() -> None:
    assert local_template("some/model-that-is-not-downloaded") is None
    assert local_template("no folder") is None


def test_a_folder_of_templates_and_models(tmp_path: Path) -> None:
    shutil.copytree(MODEL, tmp_path / "lab")
    shutil.copy(OWN / "own_turn.jinja", tmp_path)
    (tmp_path / "other.json").write_text('{"chat_template": "x"}')
    (tmp_path / "nothing.json").write_text("[]")
    (tmp_path / "README.md").write_text("no template")
    assert [template.name for template in templates_in(tmp_path)] == ["lab", "other", "own_turn"]


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file or folder"):
        templates_in(tmp_path / "none")
    with pytest.raises(UserError, match="has no chat template"):
        templates_in(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(UserError, match="cannot read"):
        local_template(str(tmp_path))
