"""verl's FSDP2 engine with the initial adapter as KL reference; verl's own reference is the base without an adapter.

    actor_rollout_ref.model.external_lib=[permix_verl.training.hooks.frozen_reference]

verl imports that module in each of its training processes, and computes the reference's log-probs under the engine's
``disable_adapter()``. We swap the initial weights in there, and the trained ones back afterwards. So checkpoints,
optimizer and rollout engine see one adapter, as in any other run. A resumed run builds its engine with the same
initial adapter before it loads the checkpoint.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from permix_verl.training.guards.effective_config import START_ATTRIBUTE


class StartingWeights:
    """Host copy of a model's trainable weights; of a sharded weight, this rank's shard.

    Args:
        module: the model, with or without FSDP2.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.start = self._copy()

    @contextlib.contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Load these weights while the block runs, then restore the current ones."""
        current = self._copy()
        self._write(self.start)
        try:
            yield
        finally:
            self._write(current)

    def _local_tensors(self) -> list[torch.Tensor]:
        """Return the local tensors that the optimizer updates.

        FSDP2 may keep gathered copies after a pass. We reshard first, so that the next pass gathers the new values.
        """
        for module in self.module.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        trainable = (weight.detach() for weight in self.module.parameters() if weight.requires_grad)
        return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in trainable]

    def _copy(self) -> list[torch.Tensor]:
        return [tensor.to("cpu", copy=True) for tensor in self._local_tensors()]

    def _write(self, values: Sequence[torch.Tensor]) -> None:
        for tensor, value in zip(self._local_tensors(), values, strict=True):
            tensor.copy_(value)


def install(engine: Any) -> None:
    """Patch verl's engine class to use the initial adapter as KL reference."""
    build = engine._build_model_optimizer

    @functools.wraps(build)
    def build_and_copy(self: Any) -> None:
        build(self)
        setattr(self, START_ATTRIBUTE, StartingWeights(self.module))

    def swap_in_reference(self: Any) -> contextlib.AbstractContextManager[None]:
        start: StartingWeights = getattr(self, START_ATTRIBUTE)
        return start.swapped_in()

    engine._build_model_optimizer = build_and_copy
    engine.disable_adapter = swap_in_reference


install(FSDPEngine)
