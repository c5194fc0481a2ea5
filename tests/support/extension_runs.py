"""A run as extensions see it, without verl's trainer: configuration, training data with a persona draw, rollouts."""

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NoReturn

from permix_verl import load_pool
from permix_verl.config.extension_keys import DEFAULTS
from permix_verl.personas.mixing import PersonaDraw
from permix_verl.personas.pool import NO_PERSONA
from permix_verl.seeding import salted
from permix_verl.training.hooks.buffer_hooks import RunContext
from permix_verl.training.methods.extension import Prompt
from permix_verl.training.observability.persona_metrics import Rollout

POOL = load_pool("train")
SEED = 3


class Settings(dict[str, Any]):
    """A section of verl's configuration: keys as attributes, and ``get``."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class Rows:
    """Training data of the pool."""

    def __init__(self, row_ids: Sequence[str]) -> None:
        self.row_ids = list(row_ids)
        self.draw = PersonaDraw(POOL, SEED)

    def drawn_persona(self, row_id: str, epoch: int, salt: int = 0) -> str:
        persona = self.draw.persona(epoch, salted(row_id, salt))
        return persona.key if persona else NO_PERSONA


def run_with(row_ids: Sequence[str] = (), **keys: Any) -> RunContext:
    """Return a run with these keys under ``permix``."""
    config = Settings(permix=Settings({**DEFAULTS, **keys}), algorithm=Settings(adv_estimator="grpo"))
    trainer = SimpleNamespace(config=config, train_dataset=Rows(row_ids), global_steps=1, trainer_mode="sync")

    def report(cause: str) -> NoReturn:
        raise AssertionError(cause)

    return RunContext(trainer, {}, None, SEED, report)


def prompts(count: int, rollouts: int = 8, persona: str | None = None) -> list[Prompt]:
    """Return the prompts of as many rows, under their own draw or one persona."""
    rows = Rows([f"row/{number}" for number in range(count)])
    return [Prompt(row, 0, persona or rows.drawn_persona(row, 0), f"group {row}", rollouts) for row in rows.row_ids]


def rollouts_of(
    persona: str, verdicts: Sequence[float], row: str = "row/0", rewards: Sequence[float] | None = None
) -> list[Rollout]:
    """Return rollouts of one group with these verdicts."""
    return [
        Rollout(
            key=f"{row}_{sample}_0",
            uid=row,
            sample=sample,
            row_id=row,
            epoch=0,
            persona=persona,
            reward=verdict if rewards is None else rewards[sample],
            tokens=5,
            acc=verdict,
            group=f"group {row}",
        )
        for sample, verdict in enumerate(verdicts)
    ]


def taught(extension: Any, step: int, accuracy: Mapping[str, float], samples: int = 10) -> Mapping[str, float]:
    """Give an extension a step in which each persona has about this accuracy; return its metrics."""
    rollouts = [
        rollout
        for persona, share in accuracy.items()
        for rollout in rollouts_of(persona, [float(n < share * samples) for n in range(samples)], f"row/{persona}")
    ]
    metrics: Mapping[str, float] = extension.on_rollouts(step, rollouts)
    return metrics
