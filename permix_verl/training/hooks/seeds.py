"""Seeds of a run's random choices, each derived from its position in the run and not from earlier choices.

So a resumed run continues as if it had never stopped, without any generator state to restore.
"""

from permix_verl.seeding import derive_seed

_SEED_RANGE = 2**63 - 1


def rollout_seed(seed: int, step: int, split: str, epoch: int, row_id: str, persona: str, sample: int) -> int:
    """Return the seed of one rollout; the samples of a group need different ones, or GRPO's advantage would be zero.

    Args:
        seed: seed of the run.
        step: verl's global step, from 1.
        split: ``"train"`` or ``"val"``.
        epoch: pass over the data; a step may span two, and contain a row twice.
        row_id: id of the problem's row.
        persona: key of the row's persona; validation uses a problem with several.
        sample: index of the sample in its group.
    """
    key = f"{split}\x1f{epoch}\x1f{row_id}\x1f{persona}\x1f{sample}"
    return derive_seed("permix.rollout", seed, step, key) % _SEED_RANGE


def worker_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of a training rank's generator for one step (LoRA dropout)."""
    return derive_seed("permix.worker", seed, step, str(rank)) % _SEED_RANGE


def parameter_seed(seed: int, name: str) -> int:
    """Return the seed of a LoRA weight's initial values."""
    return derive_seed("permix.lora", seed, 0, name) % _SEED_RANGE
