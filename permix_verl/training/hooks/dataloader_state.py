"""Rewrite verl's saved dataloader state when the number of workers changes.

The state holds only a position, in a format that depends on the number of workers.
"""

from pathlib import Path

from permix_verl.utils.files import atomic_file

STATE_FILE = "data.pt"


def fit_to_workers(checkpoint: Path, rows: int, batch: int, step: int, workers: int) -> bool:
    """Rewrite a checkpoint's ``data.pt`` unless it was saved with this many workers.

    Args:
        checkpoint: verl's ``global_step_N`` folder.
        rows: rows of the dataset over all epochs.
        batch: problems per step.
        step: completed steps.
        workers: dataloader workers of the coming launch.

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
    # A state without workers has no snapshot; others store the number of workers in it.
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
