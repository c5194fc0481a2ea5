"""verl's FSDP2 engine with the adapter that training started from as KL reference; verl takes the base without any.

    actor_rollout_ref.model.external_lib=[permix_verl.training.hooks.frozen_reference]

verl imports that module in each of its training processes, and asks the engine for log-probs of the reference under
``disable_adapter()``. There the trained weights are those that the engine was built with, and what they have become
is put back behind it. So checkpoints, optimizer and the rollout engine know of one adapter, as in any other run; and
a run that is resumed builds its engine with the same adapter, before it reads the checkpoint.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.distributed.fsdp import FSDPModule
from verl.workers.engine.fsdp.transformer_impl import FSDPEngine

from permix_verl.training.guards.effective_config import START


class StartingWeights:
    """The weights that a model trains, as they are now; kept on the host, of a sharded weight this rank's part.

    Args:
        module: with or without FSDP2.
    """

    def __init__(self, module: Any) -> None:
        self.module = module
        self.start = self._copies()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has these weights within the block, and behind it those that it had before."""
        now = self._copies()
        self._put(self.start)
        try:
            yield
        finally:
            self._put(now)

    def _parts(self) -> list[torch.Tensor]:
        """What the optimizer writes to.

        FSDP2 puts gathered copies in place of its shards, and may keep them behind a pass: they are let go first, and
        the next pass gathers what is there then.
        """
        for module in self.module.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        trained = (weight.detach() for weight in self.module.parameters() if weight.requires_grad)
        return [weight.to_local() if hasattr(weight, "to_local") else weight for weight in trained]

    def _copies(self) -> list[torch.Tensor]:
        return [part.to("cpu", copy=True) for part in self._parts()]

    def _put(self, values: Sequence[torch.Tensor]) -> None:
        for part, value in zip(self._parts(), values, strict=True):
            part.copy_(value)


def install(engine: Any) -> None:
    """Give verl's engine class its reference."""
    build = engine._build_model_optimizer

    @functools.wraps(build)
    def built(self: Any) -> None:
        build(self)
        setattr(self, START, StartingWeights(self.module))

    def reference(self: Any) -> contextlib.AbstractContextManager[None]:
        start: StartingWeights = getattr(self, START)
        return start.in_place()

    engine._build_model_optimizer = built
    engine.disable_adapter = reference


install(FSDPEngine)
