"""A dry run as a user asks for it, on a machine without that hardware."""

import yaml

from ..fast.test_recipes import recipe


def test_8xa5000_resolves_on_any_machine_as_a_user_would_ask_for_it() -> None:
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
    assert "error: verl refuses this config: Could not override 'actor_rollout_ref.rolout.n'" in done.stderr
