"""Base class of the hooks that :class:`permix_verl.training.hooks.replay_buffer.PersonaReplayBuffer` calls.

A training method adds its own hooks by subclassing the buffer and extending its ``hooks``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from permix_verl.training.observability.persona_metrics import Rollout


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run, as its hooks see it.

    Attributes:
        trainer: verl's trainer.
        options: ``trainer.v1.sampler.sampler_kwargs``.
        run_dir: the run folder; ``None`` if the run keeps none.
        seed: ``data.seed``.
        report: records why the run ends, for the launcher.
    """

    trainer: Any
    options: Mapping[str, Any]
    run_dir: Path | None
    seed: int
    report: Callable[[str], None]

    def stop(self, error: Exception) -> NoReturn:
        """Report an error's message as the cause of the run's end, and raise the error."""
        self.report(str(error))
        raise error


class BufferHook:
    """A reaction to the events of a run; each event does nothing by default.

    Args:
        run: the run that the hook belongs to.
    """

    def __init__(self, run: RunContext) -> None:
        self.run = run

    def on_begin(self) -> None:
        """Handle the buffer's construction, before training; methods of the trainer can be wrapped here."""

    def on_poll(self) -> None:
        """Handle a poll of the queue during training, while prompts are running."""

    def on_batch(self, step: int) -> None:
        """Handle the arrival of a training step's rollouts, before they are read; rewards may be missing."""

    def on_rollouts(self, step: int, rollouts: Sequence[Rollout]) -> Mapping[str, float]:
        """Handle a training step's scored rollouts, in their final order, and return metrics for the logger."""
        return {}
