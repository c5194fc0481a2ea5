"""``pkg://permix_verl.sft_dataset``: the path by which verl's configs name :class:`SupervisedDataset`."""

from permix_verl.data.sft_dataset import SupervisedDataset

__all__ = ["SupervisedDataset"]
