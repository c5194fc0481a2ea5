"""verl's saved data loader state, made anew for another number of data loader workers.

The state holds nothing but a position, in a shape that depends on the number of
workers, and verl cannot read one shape as the other.
"""

from pathlib import Path

from permix_verl.utils.files import atomic_file

STATE_FILE = "data.pt"


def fit_to_workers(checkpoint: Path, rows: int, batch: int, step: int, workers: int) -> bool:
    """Rewrite a checkpoint's ``data.pt`` unless it was saved with this many workers.

    Args:
        checkpoint: verl's ``global_step_N`` folder.
        rows: length of the dataset, all epochs.
        batch: problems per step.
        step: steps done.
        workers: data loader workers of the launch that is about to begin.

    Returns:
        Whether it was rewritten.
    """
    import torch
    from torch.utils.data import SequentialSampler
    from torchdata.stateful_dataloader import StatefulDataLoader

    file = checkpoint / STATE_FILE
    if not file.is_file():
        return False
    saved = torch.load(file, weights_only=False)
    # A state of several workers keeps their number in its snapshot; one without workers has no snapshot.
    saved_workers = saved["_snapshot"]["_main_snapshot"]["_num_workers"] if "_snapshot" in saved else 0
    if saved_workers == workers:
        return False
    positions = range(rows)
    loader = StatefulDataLoader(
        positions,  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        drop_last=True,
        sampler=SequentialSampler(positions),
    )
    iterator = iter(loader)
    for _ in range(step):
        next(iterator)
    with atomic_file(file) as partial:
        torch.save(loader.state_dict(), partial)
    return True
