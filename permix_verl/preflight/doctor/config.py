"""Checks of verl's configuration: its keys, its batch sizes, and the checkpoint of a resumed run."""

import re
from collections.abc import Iterator

from permix_verl.config.compose import VERL_CONFIGS
from permix_verl.config.unread_keys import known_unread, verl_version
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok, warning
from permix_verl.training.guards.dead_keys import refuse_dead_keys
from permix_verl.training.key_reads.check import given_keys


def dead_keys(setup: Setup) -> Iterator[Finding]:
    """Check that no key is set that verl accepts but ignores or misinterprets."""
    if setup.config is None:
        return
    try:
        refuse_dead_keys(setup.config)
    except UserError as problem:
        yield error(problem.problem, problem.remedy)
        return
    yield ok(f"{len(setup.config.own)} keys set, none without effect")


def config_composes(setup: Setup) -> Iterator[Finding]:
    """Report the configuration: it was composed, without importing verl, before the checks."""
    if setup.config is not None:
        yield ok(f"composes on verl's {VERL_CONFIGS[setup.trainer]}")


def unread_keys(setup: Setup) -> Iterator[Finding]:
    """Check that the keys that the user set were read in a recorded run of this verl."""
    if setup.config is None:
        return
    known = known_unread(setup.trainer)
    for key in given_keys(setup.config):
        if key in known:
            yield warning(
                f"{key}={setup.config.get(key)}: no process of a recorded run of verl {verl_version()} read it",
                "leave it out, unless this run has a feature that reads it; it is named again after the first step",
            )


def batches(setup: Setup) -> Iterator[Finding]:
    """Check that batch, mini-batch, micro-batch and ranks divide each other."""
    if setup.trainer == "sft" or "data.train_batch_size" not in setup.settings:
        return
    batch = setup.number("data.train_batch_size", 0)
    mini = setup.number("actor_rollout_ref.actor.ppo_mini_batch_size", 256)
    samples = setup.number("actor_rollout_ref.rollout.n", 1)
    ranks = setup.number("trainer.n_gpus_per_node", 1) * setup.number("trainer.nnodes", 1)
    micro = setup.number("actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu", 0)
    if batch < mini or batch % mini:
        yield error(
            f"ppo_mini_batch_size={mini} (verl's default is 256) does not divide train_batch_size={batch}",
            f"actor_rollout_ref.actor.ppo_mini_batch_size={batch}",
        )
    elif mini * samples % ranks:
        yield error(f"{mini} x {samples} samples are not divisible by {ranks} ranks", "change BATCH, ROLLOUTS or GPUS")
    elif micro and mini * samples // ranks % micro:
        yield error(
            f"{mini * samples // ranks} samples per rank are not a multiple of ppo_micro_batch_size_per_gpu={micro}",
            "leave it to the profile",
        )
    else:
        yield ok(f"{batch} problems x {samples} samples on {ranks} ranks")


def resumable(setup: Setup) -> Iterator[Finding]:
    """Check that a resumed run has as many ranks as its checkpoint: verl writes one file per rank."""
    if setup.run_dir is None:
        return
    tracker = setup.run_dir / "checkpoints" / "latest_checkpointed_iteration.txt"
    if not tracker.is_file():
        return
    step = tracker.read_text().strip()
    folder = setup.run_dir / "checkpoints" / f"global_step_{step}"
    names = [file.name for file in folder.rglob("*_world_size_*_rank_0.pt")]
    saved = {int(match[1]) for name in names if (match := re.search(r"_world_size_(\d+)_", name))}
    ranks = setup.number("trainer.n_gpus_per_node", 1) * setup.number("trainer.nnodes", 1)
    if saved and ranks not in saved:
        yield error(
            f"the checkpoint of step {step} was written by {min(saved)} ranks, but this run has {ranks}",
            f"resume with {min(saved)} (GPUS, NNODES), or start another run (RUN_DIR)",
        )
    elif saved:
        yield ok(f"resumes from step {step}, written by {ranks} ranks")
