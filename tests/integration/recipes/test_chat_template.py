"""A configuration from its model's chat template: the adapted template, thinking, and the reward's reading."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from permix_verl.chat_templates.adapt import is_adapted, without_adaptation
from permix_verl.chat_templates.probes import SEVERAL
from permix_verl.chat_templates.template import ChatTemplate
from permix_verl.config.compose import RunConfig
from permix_verl.lab.base_model import MODEL
from permix_verl.recipe import chat_template
from permix_verl.recipe.chat_template import template_lines, with_template
from permix_verl.recipe.rows import rows_command

from ...support.configs import config_of
from ...support.template_tokenizers import KWARGS, own_template

CUSTOM = "model.custom_chat_template"
GRPO = f"actor_rollout_ref.{CUSTOM}"
READING = "reward.custom_reward_function.reward_kwargs"


def model_with(folder: Path, text: str) -> str:
    made = shutil.copytree(MODEL, folder / "model", dirs_exist_ok=True)
    (Path(made) / "chat_template.jinja").write_text(text)
    return str(made)


def composed(folder: Path, name: str, *overrides: str, method: str = "permix_grpo", **knobs: str) -> RunConfig:
    model = model_with(folder, own_template(name))
    return config_of(method, *overrides, **{"MODEL": model, "PROFILE": "cpu", **knobs})


def test_a_model_that_needs_nothing_gets_nothing(tmp_path: Path) -> None:
    config = composed(tmp_path, "own_turn")
    assert config[GRPO] is None
    assert config["data.apply_chat_template_kwargs"] == KWARGS
    assert READING not in config
    assert config["permix.system_role"] == "auto"
    assert config["permix.thinking"] == "off"
    assert "--system-role" not in rows_command(config)


@pytest.mark.parametrize(("method", "key"), [("permix_grpo", GRPO), ("permix_sft", CUSTOM)])
@pytest.mark.parametrize("name", ["drops_system", "today_alone"])
def test_verl_gets_the_adapted_template(tmp_path: Path, name: str, method: str, key: str) -> None:
    config = composed(tmp_path, name, method=method)
    assert is_adapted(config[key])
    assert without_adaptation(config[key]) == own_template(name)
    read_back = OmegaConf.create(OmegaConf.to_yaml(config.node))  # as verl reads it
    assert OmegaConf.select(read_back, key) == config[key]


@pytest.mark.parametrize("text", ["{# ${permix.seed} #}", "price: ${{ 7 }} ${permix.seed}"])
def test_what_looks_like_an_interpolation_is_text(tmp_path: Path, text: str) -> None:
    model = model_with(tmp_path, own_template("drops_system") + text)
    config = config_of("permix_grpo", MODEL=model, PROFILE="cpu")
    verls = OmegaConf.create(OmegaConf.to_yaml(config.node))
    OmegaConf.resolve(verls)  # as verl does
    given = ChatTemplate(verls.actor_rollout_ref.model.custom_chat_template)
    plain = ChatTemplate(own_template("drops_system") + text)
    assert given.render(SEVERAL, KWARGS) == plain.render(SEVERAL, KWARGS)


def test_the_users_turn_can_be_asked_for(tmp_path: Path) -> None:
    config = composed(tmp_path, "own_turn", SYSTEM_ROLE="user")
    assert is_adapted(config[GRPO])
    command = rows_command(config)
    assert command[command.index("--system-role") + 1] == "user"


@pytest.mark.parametrize(
    ("name", "thinking", "arguments", "reading"),
    [
        ("switched_thought", "off", {}, None),
        ("switched_thought", "on", {"enable_thinking": True}, {"thinking": "open"}),
        ("open_thought", "off", {}, {"thinking": "open"}),
        ("own_turn", "on", {"enable_thinking": True}, {"thinking": "on"}),
        ("thinking_budget", "off", {"thinking_budget": 0}, None),
        (
            *("thinking_budget", "on", {"enable_thinking": True}),
            {"thinking": "on", "thought_marks": [["<seed:think>", "</seed:think>"]]},
        ),
    ],
)
def test_thinking_sets_the_templates_arguments_and_the_rewards_reading(
    tmp_path: Path, name: str, thinking: str, arguments: dict[str, Any], reading: dict[str, Any] | None
) -> None:
    config = composed(tmp_path, name, THINKING=thinking)
    assert config["data.apply_chat_template_kwargs"] == {**KWARGS, **arguments}
    assert config.get(READING) == reading
    assert READING not in composed(tmp_path, name, method="sft", THINKING=thinking)


def test_what_the_user_sets_is_kept(tmp_path: Path) -> None:
    given = composed(
        tmp_path, "switched_thought", "data.apply_chat_template_kwargs={enable_thinking: false}", THINKING="on"
    )
    assert given["data.apply_chat_template_kwargs"] == {"enable_thinking": False}
    mine = composed(tmp_path, "drops_system", f"{GRPO}=mine")
    assert mine[GRPO] == "mine"
    reward = composed(tmp_path, "open_thought", "reward.custom_reward_function.path=mine.py")
    assert READING not in reward


def test_what_a_launch_without_preparation_says(tmp_path: Path) -> None:
    (line,) = template_lines(composed(tmp_path, "drops_system"))
    assert line.endswith("it drops the system message: personas stand in the user's turn")
    assert template_lines(composed(tmp_path, "own_turn")) == []


def test_a_template_that_cannot_be_used_is_left_to_the_doctor(tmp_path: Path) -> None:
    assert composed(tmp_path, "loses_user")[GRPO] is None


def test_a_model_that_is_downloaded_later_gets_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = composed(tmp_path, "drops_system", THINKING="on")
    with monkeypatch.context() as absent:
        absent.setattr(chat_template, "local_template", lambda model: None)
        before = config_of("permix_grpo", MODEL=there["permix.model"], PROFILE="cpu", THINKING="on")
    assert before[GRPO] is None
    assert before["data.apply_chat_template_kwargs.enable_thinking"] is True
    after = with_template(before)
    assert after[GRPO] == there[GRPO]
    assert OmegaConf.create(OmegaConf.to_yaml(after.node)) == OmegaConf.create(OmegaConf.to_yaml(there.node))
    assert with_template(there) is there
