"""MODEL=smollm2 in the recipes: its folder, its problems, fetched where it is missing; other models as before."""

from pathlib import Path

import pytest

from permix_verl.checkpoints.fetched import packaged_folder
from permix_verl.config.resolvers import LAB_MODEL
from permix_verl.recipe import run as recipe
from permix_verl.recipe.rows import lab_commands, needs_no_hub, rows_command

from ...support.configs import config_of

FOLDER = str(packaged_folder("smollm2"))


@pytest.mark.parametrize("method", ["permix_grpo", "rlvr_grpo", "sft", "permix_sft"])
def test_the_short_name_brings_folder_and_problems(method: str) -> None:
    config = config_of(method, MODEL="smollm2", PROFILE="cpu")
    path = config["actor_rollout_ref.model.path" if config.trainer == "grpo" else "model.path"]
    assert (path, config["permix.preset"], config["permix.name"]) == (FOLDER, "smollm2", "smollm2-135m")
    train, *held_out = lab_commands(config)
    assert "--level plain_one --split train --count 328" in " ".join(train)
    assert [" ".join(command[3:8]) for command in held_out] == (
        [] if config.trainer == "grpo" else ["lab-problems --level plain_one --split validation"]
    )
    command = " ".join(rows_command(config))
    assert f"plain-one-328.jsonl,name=plain_one --tokenizer {FOLDER}" in command
    assert needs_no_hub(config)


def test_data_and_numbers_can_be_given() -> None:
    config = config_of("permix_grpo", MODEL="smollm2", PROFILE="gpu", LAB_PROBLEMS="40")
    assert " ".join(lab_commands(config)[0]).endswith("--count 40 --out " + config["permix.data"])
    own = config_of("permix_grpo", MODEL="smollm2", PROFILE="cpu", DATA="mine.jsonl")
    assert not lab_commands(own)
    assert rows_command(own)[rows_command(own).index("--data") + 1] == "mine.jsonl"
    paper = config_of("permix_grpo", MODEL="smollm2", PROFILE="cpu", LAB="0")
    assert (paper["permix.data"], paper["permix.model"]) == ("openai/gsm8k", FOLDER)


def test_other_models_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert config_of("permix_grpo", PROFILE="cpu")["permix.model"] == str(LAB_MODEL)
    for model in ("Qwen/Qwen3-4B", "smollm", str(tmp_path)):
        config = config_of("permix_grpo", MODEL=model, PROFILE="cpu")
        assert (config["permix.model"], config["permix.preset"]) == (model, "paper")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    mine = config_of("permix_grpo", MODEL="smollm2", PROFILE="cpu")
    assert (mine["permix.model"], mine["permix.preset"]) == (str(tmp_path / "smollm2"), "paper")


def test_the_lab_generates_what_it_did() -> None:
    commands = [" ".join(command[3:]) for command in lab_commands(config_of("sft", PROFILE="cpu"))]
    assert commands[0].startswith("lab-problems --level easy --split train --count 584 --out ")
    assert commands[1].startswith("lab-problems --level easy --split train --seed 1 --count 256 --out ")
    assert "lab-easy-584.jsonl,name=lab " in " ".join(rows_command(config_of("permix_grpo", PROFILE="cpu")))


def test_a_run_fetches_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class StopError(Exception):
        pass

    asked = []

    def fetch(model: str) -> None:
        asked.append(model)
        raise StopError

    def refuse(_: object) -> None:
        raise AssertionError("the doctor is asked before the model is there")

    monkeypatch.setattr(recipe, "fetch_if_missing", fetch)
    monkeypatch.setattr(recipe, "refuse_unhealthy", refuse)
    with pytest.raises(StopError):
        recipe.run(config_of("permix_grpo", MODEL="smollm2", PROFILE="cpu"))
    assert asked == [FOLDER]


def test_the_proposed_evaluation_is_on_its_own_problems() -> None:
    said = recipe.next_command(config_of("sft", MODEL="smollm2", PROFILE="cpu"))
    assert f"--model {FOLDER}" in said
    assert "--tasks plain_one,plain_two --temperature 0.7" in said
