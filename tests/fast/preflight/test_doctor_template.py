"""Doctor checks of the chat template: the persona, the day, and thoughts."""

import shutil
from pathlib import Path

import pytest

from permix_verl.chat_templates.adapt import adapt
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.lab.base_model import MODEL
from permix_verl.preflight.doctor import template
from permix_verl.preflight.doctor.types import Setup

from ...support.configs import bare_of
from ...support.doctor import only, problems, setup_with
from ...support.template_tokenizers import KWARGS, own_template

CUSTOM = "actor_rollout_ref.model.custom_chat_template"


def copied(folder: Path) -> Path:
    return Path(shutil.copytree(MODEL, folder / "model"))


def with_template(folder: Path, text: str) -> str:
    made = copied(folder)
    (made / "chat_template.jinja").write_text(text)
    return str(made)


def test_a_system_text_of_its_own_is_said(tmp_path: Path) -> None:
    model = with_template(tmp_path, own_template("own_text_always"))
    told = only(template.template, Setup(model), "warning")
    assert "inserts its own: 'system Knowledge ends in spring.', and beside a persona" in told


def test_a_template_without_a_system_role_is_adapted_and_said(tmp_path: Path) -> None:
    found = list(template.template(Setup(with_template(tmp_path, own_template("drops_system")))))
    assert [finding.severity for finding in found] == ["ok", "ok"]
    assert "drops the system message: personas stand in the user's turn" in found[0].text
    assert found[1].text.endswith("in the user's turn")


def test_a_run_whose_rollouts_would_not_be_adapted_is_an_error(tmp_path: Path) -> None:
    text = own_template("drops_system")
    model = with_template(tmp_path, text)
    bare = {"data.apply_chat_template_kwargs": KWARGS, CUSTOM: None}
    told = only(template.template, Setup(model, config=bare_of(bare)))
    assert "must be adapted" in told
    assert "train with permix train" in told
    fitting = bare_of(bare | {CUSTOM: adapt(ChatTemplate(text), KWARGS).template.text})
    assert problems(template.template, Setup(model, config=fitting)) == []


def test_a_template_that_loses_the_persona_either_way_is_an_error(tmp_path: Path) -> None:
    model = with_template(tmp_path, own_template("swallows_both"))
    assert "loses a persona in the user's turn too" in only(template.template, Setup(model))


@pytest.mark.parametrize("name", ["own_turn", "user_turn", "channel"])
def test_a_template_that_keeps_the_persona_is_fine(tmp_path: Path, name: str) -> None:
    assert problems(template.template, Setup(with_template(tmp_path, own_template(name)))) == []


def test_a_date_that_is_not_pinned(tmp_path: Path) -> None:
    dated = with_template(tmp_path, own_template("date_argument"))
    undated = setup_with("data.train_batch_size=8", model=dated)
    told = only(template.template, undated)
    assert "writes today's date" in told
    assert "set +data.apply_chat_template_kwargs.date_string='26 Jul 2024', or" in told
    pinned = setup_with("+data.apply_chat_template_kwargs.date_string='26 Jul 2024'", model=dated)
    assert [finding.severity for finding in template.template(pinned)] == ["warning", "ok"], "its own system text"
    assert [finding.text for finding in template.pinned_date(pinned)] == [
        "prompts do not depend on the day: date_string pins it"
    ]


def test_a_date_without_a_persona_alone_is_seen(tmp_path: Path) -> None:
    dated = with_template(tmp_path, own_template("today_alone"))
    (found,) = template.pinned_date(Setup(dated))
    assert found.text == "prompts do not depend on the day: it is pinned in front of the template"


def test_an_open_thought_is_said(tmp_path: Path) -> None:
    model = with_template(tmp_path, own_template("open_thought"))
    told = only(template.thinking, Setup(model), "warning")
    assert "open thought (<think>) although thinking is off" in told
    assert problems(template.thinking, Setup(with_template(tmp_path / "b", own_template("switched_thought")))) == []


def test_thinking_needs_room_and_marks_that_can_be_read(tmp_path: Path) -> None:
    on = {"permix.thinking": "on", "permix.system_role": "auto", "data.apply_chat_template_kwargs": KWARGS}
    model = with_template(tmp_path, own_template("switched_thought"))
    short = Setup(model, config=bare_of(on | {"data.max_response_length": 512}))
    assert "completions end at 512 tokens" in only(template.thinking, short, "warning")
    assert problems(template.thinking, Setup(model, config=bare_of(on | {"data.max_response_length": 4096}))) == []
    unknown = with_template(tmp_path / "b", own_template("own_turn") + "<my_thoughts>")
    told = [finding for finding in problems(template.thinking, Setup(unknown)) if finding.severity == "error"]
    assert "where it ends is not known" in told[0].text
    special = with_template(tmp_path / "c", own_template("own_turn") + "<|channel|>analysis<|message|>")
    assert problems(template.thinking, Setup(special))[-1].severity == "warning", "'<|end|>' is no token of the lab's"


def test_a_tokenizer_that_does_not_load(tmp_path: Path) -> None:
    broken = copied(tmp_path)
    (broken / "tokenizer.json").write_text("{}")
    assert "cannot be loaded" in only(template.template, Setup(str(broken)))
