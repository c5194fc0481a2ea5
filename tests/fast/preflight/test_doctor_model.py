"""Doctor checks of the model: files, tokenizer, chat template and context."""

import json
import shutil
from pathlib import Path

import pytest

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


QWEN = (
    "{%- if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen, created by Alibaba Cloud.<|im_end|>\n"
    "{%- endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)


DROPS = "{% for m in messages %}{% if m.role != 'system' %}{{ m.content }}{% endif %}{% endfor %}"


REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ messages[0].content }}"
)


DATED = "{{ date_string or strftime_now('%d %b %Y') }}{% for m in messages %}{{ m.content }}{% endfor %}"


MOVES = (
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}\n\n{{ messages[1].content }}{% else %}"
    "{{ messages[0].content }}{% endif %}"
)


def with_template(folder: Path, template: str) -> str:
    made = copied(folder)
    (made / "chat_template.jinja").write_text(template)
    return str(made)


@pytest.mark.parametrize(
    ("template", "severity", "told"),
    [
        (QWEN, "warning", "'You are Qwen, created by Alibaba Cloud.'"),
        (DROPS, "error", "drops the system message"),
        (REFUSES, "error", "refuses the roles"),
    ],
)
def test_templates_that_lose_a_persona_or_bring_their_own(
    tmp_path: Path, template: str, severity: str, told: str
) -> None:
    assert told in only(model.template, Setup(with_template(tmp_path, template)), severity)


def test_a_template_that_moves_the_persona_into_the_users_turn_is_fine(tmp_path: Path) -> None:
    assert problems(model.template, Setup(with_template(tmp_path, MOVES))) == []


def test_a_date_that_is_not_pinned(tmp_path: Path) -> None:
    dated = with_template(tmp_path, DATED)
    assert "writes today's date into every prompt; set +data" in only(model.pinned_date, Setup(dated))
    pinned = setup_with("+data.apply_chat_template_kwargs.date_string='26 Jul 2024'", model=dated)
    assert problems(model.pinned_date, pinned) == []


def test_a_tokenizer_that_does_not_load(tmp_path: Path) -> None:
    broken = copied(tmp_path)
    (broken / "tokenizer.json").write_text("{}")
    assert "cannot be loaded" in only(model.template, Setup(str(broken)))


def test_a_context_that_is_too_short() -> None:
    setup = setup_with("data.max_prompt_length=1000", "data.max_response_length=512", model=str(MODEL))
    assert "up to 1512 tokens, but the model's context is 1024" in only(model.context_length, setup)
    supervised = setup_with("data.max_length=2048", model=str(MODEL), trainer="sft")
    assert "up to 2048 tokens" in only(model.context_length, supervised)
