"""Seeds of a run's random choices, each a function of where it is made and of nothing that came before.

Drawing each seed anew, instead of carrying a generator's state along, makes a run
that was resumed go on as if it had never stopped.
"""

from permix_verl.seeding import derive_seed

_SEED_RANGE = 2**63 - 1


def rollout_seed(seed: int, step: int, split: str, epoch: int, row_id: str, persona: str, sample: int) -> int:
    """Seed of one rollout. The samples of a group differ in it, or GRPO's advantage would be zero.

    Args:
        seed: the run's.
        step: verl's global step, from 1.
        split: ``"train"`` or ``"val"``.
        epoch: a step may lie across two of them and hold a row twice.
        row_id: of the problem.
        persona: key of its persona; validation puts one problem under many.
        sample: number of the sample in its group.
    """
    what = f"{split}\x1f{epoch}\x1f{row_id}\x1f{persona}\x1f{sample}"
    return derive_seed("permix.rollout", seed, step, what) % _SEED_RANGE


def worker_seed(seed: int, step: int, rank: int) -> int:
    """Seed of an actor rank's generator during one step: of LoRA dropout."""
    return derive_seed("permix.worker", seed, step, str(rank)) % _SEED_RANGE


def parameter_seed(seed: int, name: str) -> int:
    """Seed of a LoRA weight's initial values."""
    return derive_seed("permix.lora", seed, 0, name) % _SEED_RANGE
