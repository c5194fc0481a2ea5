"""Composition: verl's configuration, the project's files, and what the user gives; each value once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from permix_verl import UserError
from permix_verl.config.compose import FOLDER, compose_method, compose_verl, flatten, parse_overrides
from permix_verl.config.knobs import PROFILES
from permix_verl.config.methods import METHODS
from permix_verl.config.overrides import override_lines
from permix_verl.config.quoting import quote_value, render_value
from permix_verl.config.resolvers import largest_divisor

from ...support.configs import config_of, overrides_of

GIVEN = {"RUN_DIR": "/runs/x", "MODEL": "some/model", "TEACHER": "a/b"}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("method", METHODS)
def test_what_a_recipe_sets_leads_verls_own_configuration_to_it(method: str, profile: str) -> None:
    """The printed overrides, given to verl alone, compose to the same values."""
    config = config_of(method, PROFILE=profile, **GIVEN)
    alone = compose_verl(config.trainer, override_lines(config))
    ours = {key: value for key, value in flatten(config.plain()).items() if not key.startswith("permix.")}
    verls = {key: value for key, value in flatten(alone.plain()).items() if not key.startswith("permix.")}
    assert ours == verls


def test_a_difference_would_be_seen() -> None:
    """Negative control."""
    config = config_of("permix_grpo", PROFILE="gpu", **GIVEN)
    lines = [line for line in override_lines(config) if "clip_grad" not in line]
    assert compose_verl("grpo", lines)["actor_rollout_ref.actor.optim.clip_grad"] != 0.1


@pytest.mark.parametrize("method", METHODS)
def test_verls_interpolations_stay_and_the_projects_are_values(method: str) -> None:
    config = config_of(method, PROFILE="cpu", **GIVEN)
    raw = flatten(OmegaConf.to_container(config.node, resolve=False))  # type: ignore[arg-type]
    left = [value for value in raw.values() if isinstance(value, str) and "${" in value]
    assert not [value for value in left if "permix." in value]
    assert left, "verl's own are resolved where verl resolves them"


def test_the_written_configuration_is_read_back_unchanged(tmp_path: Path) -> None:
    config = config_of("permix_grpo", "data.train_files=['a b','1e5','null']", PROFILE="8xa5000", **GIVEN)
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(config.node))
    read = OmegaConf.load(tmp_path / "config.yaml")
    assert OmegaConf.to_container(read) == OmegaConf.to_container(config.node)


def test_composition_imports_no_heavy_library() -> None:
    heavy = "verl", "torch", "vllm", "ray"
    probe = (
        "from permix_verl.recipe.resolve import resolve; import sys; resolve('permix_grpo', ['PROFILE=cpu'], {}); "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_hydra_finds_the_files_by_their_packages() -> None:
    """The searchpath of each file is for Hydra's own command line; here the folders are given."""
    for method in METHODS:
        written = OmegaConf.load(FOLDER / f"{method}.yaml")
        assert written.hydra.searchpath[-1] == "pkg://verl.trainer.config"
        group = written.hydra.searchpath[0].removeprefix("pkg://permix_verl.config.")
        assert (FOLDER / group / "base.yaml").is_file()


@pytest.mark.parametrize(
    ("method", "overrides", "told"),
    [
        ("permix_grpo", ["permix.seeed=1"], r"Could not override 'permix.seeed'.*check the spelling"),
        ("permix_grpo", ["profile=8xh100"], r"Could not find 'profile/8xh100'"),
        ("sft", ["optim.lrr=1"], r"Could not override 'optim.lrr'"),
        ("sft", ["optim.lr=[1"], r"'optim.lr=\[1'|does not compose"),
        ("grpo", [], "unknown method 'grpo'; known: permix_grpo, rlvr_grpo"),
    ],
)
def test_a_wrong_key_is_one_error(method: str, overrides: list[str], told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        compose_method(method, [], overrides)
    assert "\n" not in str(refused.value)


def test_the_users_value_wins_over_what_a_recipe_implies() -> None:
    key = "algorithm.rollout_correction.bypass_mode"
    assert config_of("permix_grpo", QLORA="1", PROFILE="cpu")[key] is False
    assert config_of("permix_grpo", f"{key}=True", QLORA="1", PROFILE="cpu")[key] is True


def test_a_key_of_verl_reaches_what_depends_on_it() -> None:
    config = config_of("permix_grpo", "data.train_batch_size=6", PROFILE="gpu", GPUS="2", MODEL="a/b")
    assert config["actor_rollout_ref.actor.ppo_mini_batch_size"] == 6
    assert config["actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu"] == 4  # 6 x 8 samples on 2 GPUs


def test_overrides_are_parsed_as_by_hydra() -> None:
    parsed = parse_overrides(["a=1", "+b.c='x=y'", "++d='/p q'", "a=3", "e=[q,'r s']", "f={g:1e-5}", "h=null"])
    assert parsed == {"a": 3, "b.c": "x=y", "d": "/p q", "e": ["q", "r s"], "f": {"g": 1e-5}, "h": None}
    with pytest.raises(UserError, match=r"'--oops' is not a Hydra override"):
        parse_overrides(["--oops"])


@pytest.mark.parametrize("value", ["plain", "it's", "a, b=[c]", "", r"back\slash", r"back\'both", "end\\", "two words"])
def test_quoted_values_survive_hydras_grammar(value: str) -> None:
    assert parse_overrides([f"+a.b={quote_value(value)}"]) == {"a.b": value}


@pytest.mark.parametrize(
    "value", [None, True, 3, 1e-05, "x", "/a b", "1e5", "null", "True", "pkg://a.b", ["a", "b c"], {"a": "b", "c": 1}]
)
def test_rendered_values_are_read_back(value: object) -> None:
    assert parse_overrides([f"+a={render_value(value)}"]) == {"a": value}


def test_micro_batches_divide() -> None:
    for number in range(1, 200):
        for limit in (1, 2, 7, 32):
            size = largest_divisor(limit, number)
            assert number % size == 0
            assert not any(number % other == 0 for other in range(size + 1, min(limit, number) + 1))


def test_paths_become_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's workers have another working directory."""
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path)
    config = config_of("permix_grpo", MODEL="m", RUN_DIR="r", PROFILE="cpu")
    assert config["actor_rollout_ref.model.path"] == str(tmp_path / "m")
    assert config["trainer.default_local_dir"] == str(tmp_path / "r" / "checkpoints")
    assert config_of("permix_grpo", MODEL="org/name", PROFILE="cpu")["permix.model"] == "org/name"


def test_the_printed_overrides_are_one_line_each() -> None:
    lines = overrides_of("permix_grpo", PROFILE="8xa5000")
    assert len(lines) == len({line.split("=")[0] for line in lines}) > 70
    assert json.dumps(lines).count("\\n") == 0
