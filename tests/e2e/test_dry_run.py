"""A dry run for hardware that this machine lacks; and a run that the doctor refuses."""

from pathlib import Path

import pytest
import yaml

from ..integration.recipes.test_recipes import recipe


def test_8xa5000_resolves_on_any_machine() -> None:
    done = recipe("run_permix_grpo.sh", PROFILE="8xa5000")
    assert done.returncode == 0, done.stderr
    assert "dry run: the config resolves and verl accepts it" in done.stderr
    config = yaml.safe_load(done.stdout)
    assert config["trainer"]["n_gpus_per_node"] == 8
    assert config["actor_rollout_ref"]["actor"]["strategy"] == "fsdp2"


def test_a_misspelt_override_fails_the_dry_run() -> None:
    done = recipe("run_permix_grpo.sh", "actor_rollout_ref.rolout.n=4", PROFILE="8xa5000")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: the configuration does not compose: Could not override 'actor_rollout_ref.rolout.n'" in done.stderr


@pytest.mark.parametrize("script", ["run_permix_grpo.sh", "run_sft.sh"])
def test_a_run_that_the_doctor_refuses_leaves_nothing_behind(script: str, tmp_path: Path) -> None:
    knobs = {"DRY_RUN": "0", "PROFILE": "cpu", "LAB": "1", "RUN_DIR": str(tmp_path / "run"), "PROMPT_LENGTH": "1000"}
    done = recipe(script, **knobs, **({"MAX_LENGTH": "2000"} if "sft" in script else {"RESPONSE_LENGTH": "500"}))
    assert done.returncode == 2
    assert "error   context" in done.stderr
    assert "DOCTOR=0 goes on all the same" in done.stderr
    assert list(tmp_path.iterdir()) == []
