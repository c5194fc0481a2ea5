"""``pkg://permix_verl.dataset``: the path by which verl's configs name :class:`PersonaMixDataset`."""

from permix_verl.data.rl_dataset import PersonaMixDataset

__all__ = ["PersonaMixDataset"]
