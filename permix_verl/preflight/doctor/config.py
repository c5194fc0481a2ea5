"""verl's configuration: keys that exist, do what they say, and agree with each other and with a run that goes on."""

import re
from collections.abc import Iterator

from permix_verl.errors import UserError
from permix_verl.preflight.doctor.types import Finding, Setup, error, ok
from permix_verl.runs.overrides import VERL_CONFIGS, compose_without_verl
from permix_verl.training.guards.dead_keys import refuse_dead_keys

CONFIGS = VERL_CONFIGS


def dead_keys(setup: Setup) -> Iterator[Finding]:
    """No key is set that verl takes and does nothing with."""
    if not setup.overrides:
        return
    try:
        refuse_dead_keys(setup.settings)
    except UserError as problem:
        text, _, remedy = str(problem).partition(": " if ": " in str(problem) else "; ")
        yield error(text, remedy)
        return
    yield ok(f"{len(setup.overrides)} overrides, none without effect")


def composes(setup: Setup) -> Iterator[Finding]:
    """Every key that is set exists in verl's configuration; composed by Hydra alone, without importing verl."""
    if not setup.overrides:
        return
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        if compose_without_verl(list(setup.overrides), setup.trainer) is None:
            return  # said by the check of packages
    except (HydraException, OmegaConfBaseException) as problem:
        first = str(problem).strip().splitlines()[0]
        yield error(f"verl's configuration does not compose: {first[:300]}", "check the spelling of the override")
        return
    yield ok(f"composes on verl's {CONFIGS[setup.trainer]}")


def batches(setup: Setup) -> Iterator[Finding]:
    """Batch, mini-batch, micro-batch and ranks divide each other."""
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
        yield error(f"{mini} x {samples} samples do not divide over {ranks} ranks", "change BATCH, ROLLOUTS or GPUS")
    elif micro and mini * samples // ranks % micro:
        yield error(
            f"{mini * samples // ranks} samples of a rank are no multiple of ppo_micro_batch_size_per_gpu={micro}",
            "leave it to the profile",
        )
    else:
        yield ok(f"{batch} problems x {samples} samples on {ranks} ranks")


def resumable(setup: Setup) -> Iterator[Finding]:
    """A run that goes on has as many ranks as wrote its checkpoint: verl's files are one a rank."""
    if setup.run_dir is None:
        return
    tracker = setup.run_dir / "checkpoints" / "latest_checkpointed_iteration.txt"
    if not tracker.is_file():
        return
    step = tracker.read_text().strip()
    folder = setup.run_dir / "checkpoints" / f"global_step_{step}"
    names = [file.name for file in folder.rglob("*_world_size_*_rank_0.pt")]
    saved = {int(found[1]) for name in names if (found := re.search(r"_world_size_(\d+)_", name))}
    ranks = setup.number("trainer.n_gpus_per_node", 1) * setup.number("trainer.nnodes", 1)
    if saved and ranks not in saved:
        yield error(
            f"the checkpoint of step {step} was written by {min(saved)} ranks, and {ranks} would read it",
            f"go on with {min(saved)} (GPUS, NNODES), or begin another run (RUN_DIR)",
        )
    elif saved:
        yield ok(f"goes on from step {step}, written by {ranks} ranks")
