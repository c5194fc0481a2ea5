"""Tracker of live tensor storages by kind, with the peak of each phase.

It counts requested bytes, so it works on fake tensors, which allocate nothing.
"""

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_COLLECTIVE = ("fsdp", "c10d", "_c10d_functional")


class LiveStorages(TorchDispatchMode):
    """Context manager that counts bytes of live storages by kind, and their peak in each phase.

    Args:
        kind_of: returns the kind of a new, unmarked tensor.
        collective: kind of tensors that collectives and FSDP2's operations touch.
        sent: kinds that keep their kind in collectives.

    Attributes:
        now: live bytes by kind.
        peaks: phase -> bytes by kind when their sum was largest.
    """

    def __init__(
        self, kind_of: Callable[[torch.Tensor], str], collective: str = "collective", sent: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.kind_of = kind_of
        self.collective = collective
        self.sent = sent
        self.now: Counter[str] = Counter()
        self.peaks: dict[str, Counter[str]] = {}
        self._phase = ""
        self._total = 0
        self._peak = 0
        self._known: dict[int, tuple[str, int]] = {}
        self._resize: Any = None

    def mark(self, tensors: Iterable[torch.Tensor], kind: str) -> None:
        """Set the kind of these tensors."""
        for tensor in tensors:
            self._track(_local(tensor), kind)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record the peak inside the block under ``name``; a repeated name keeps the larger peak."""
        before = self._phase, self._peak
        self._phase, self._peak = name, sum(self.peaks.get(name, Counter()).values())
        self._update_peak()
        try:
            yield
        finally:
            self._phase, self._peak = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        collective = func.namespace in _COLLECTIVE
        for leaf in tree_leaves((args, kwargs, result) if collective else result):
            if isinstance(leaf, torch.Tensor):
                self._track(_local(leaf), self.collective if collective else None)
        return result

    def __enter__(self) -> "LiveStorages":
        # FSDP2 frees gathered weights by resizing their storage, which the dispatch mode does not see.
        self._resize = original = torch.UntypedStorage.resize_

        def resize_(storage: torch.UntypedStorage, size: int) -> Any:
            result = original(storage, size)
            self._change(storage._cdata, None, storage.nbytes())
            return result

        torch.UntypedStorage.resize_ = resize_  # type: ignore[method-assign,assignment]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        torch.UntypedStorage.resize_ = self._resize  # type: ignore[method-assign]
        super().__exit__(*error)

    def _track(self, tensor: torch.Tensor, kind: str | None) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            stays = kind == self.collective and self._known[key][0] in self.sent
            self._change(key, None if stays else kind, storage.nbytes())
            return
        self._known[key] = (kind or self.kind_of(tensor), 0)
        self._change(key, None, storage.nbytes())
        weakref.finalize(storage, self._drop, key)

    def _change(self, key: int, kind: str | None, size: int) -> None:
        if key not in self._known:
            return
        old_kind, old_size = self._known[key]
        kind = kind or old_kind
        if (kind, size) == (old_kind, old_size):
            return
        self._known[key] = (kind, size)
        self.now[old_kind] -= old_size
        self.now[kind] += size
        self._total += size - old_size
        self._update_peak()

    def _drop(self, key: int) -> None:
        kind, size = self._known.pop(key, ("", 0))
        self.now[kind] -= size
        self._total -= size

    def _update_peak(self) -> None:
        if self._phase and self._total > self._peak:
            self._peak = self._total
            self.peaks[self._phase] = Counter({kind: size for kind, size in self.now.items() if size})


def _local(tensor: torch.Tensor) -> torch.Tensor:
    local: torch.Tensor = getattr(tensor, "_local_tensor", tensor)
    return local
