"""Base class of the extensions of a training method, and the prompts and groups that they work on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from permix_verl.training.hooks.buffer_hooks import BufferHook
from permix_verl.training.observability.persona_metrics import Rollout

MAX_DRAWS = 64
"""Draws after which a persona may repeat in a group: the pool has hardly more personas than the group has rollouts."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt that is sent to the rollout engine.

    Attributes:
        row_id, epoch: the row, and the pass over the data.
        persona: key of the persona, or "no_persona".
        group: name of the group whose rollouts the advantage compares; unique in a step.
        rollouts: samples of this prompt.
        first: number of its first sample in the group.
        redrawn: salt of the persona's draw; 0 for the draw that the data make.
    """

    row_id: str
    epoch: int
    persona: str
    group: str
    rollouts: int
    first: int = 0
    redrawn: int = 0


class Extension(BufferHook):
    """A change of a training method. Each event leaves things as they are by default.

    An extension that depends on earlier steps keeps what it needs in :meth:`state`, which every checkpoint holds. Its
    random choices derive from (seed, epoch, row) and that state, so a resumed run makes them again.
    """

    def on_submit(self, step: int, prompts: Sequence[Prompt]) -> Sequence[Prompt]:
        """Return the prompts of a step instead of those that the data give. Groups keep their number of samples."""
        return prompts

    def teaches_nothing(self, step: int, group: Sequence[Rollout]) -> bool:
        """Return whether a group is to be replaced by a fresh one."""
        return False

    def on_dropped(self, step: int, rollouts: Sequence[Rollout]) -> None:
        """Handle the rollouts of groups that were replaced, before :meth:`on_rollouts` gets the others."""

    def advantages(self, step: int, rollouts: Sequence[Rollout]) -> Sequence[float] | None:
        """Return the advantage of every rollout instead of verl's; ``None`` keeps verl's."""
        return None

    def state(self) -> Mapping[str, Any]:
        """Return what the next step depends on, as JSON."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take over the state of a checkpoint."""
