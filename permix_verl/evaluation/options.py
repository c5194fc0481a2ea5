"""Options of an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.inference.engine_config import EngineConfig
from permix_verl.inference.engines import Sampling


@dataclass(frozen=True)
class EvalOptions:
    """Options of an evaluation.

    temperature and top_p default to the generation config of Llama-3.1-8B-Instruct, the base model of arXiv 2604.08986.

    Attributes:
        engine: model under test, and its engine.
        out: results folder.
        tasks: ``name``, ``name=source`` or the path of a task file.
        task_args: settings of the tasks.
        personas: a pool, or ``pool:key,key`` for a part of it.
        control: whether to add the control condition without persona.
        runs: completions of each prompt.
        limit: number of problems per task, from the start; ``None``: all.
        max_tokens: token limit of a completion; ``None``: the task's own.
    """

    engine: EngineConfig
    out: Path
    tasks: Sequence[str] = ("gsm8k",)
    task_args: Mapping[str, str] = field(default_factory=dict)
    personas: str = "eval"
    control: bool = True
    runs: int = 5
    limit: int | None = None
    seed: int = 0
    temperature: float = 0.6
    top_p: float = 0.9
    top_k: int = 0
    max_tokens: int | None = None

    def check(self) -> None:
        """Check the numbers, and settings that exclude each other.

        Raises:
            UserError: a number out of range, several runs at temperature 0, or an engine setting that does not fit.
        """
        self.engine.check()
        for name in ("runs", "limit", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name.replace('_', '-')} is {value}", "it must be 1 or more")
        if self.temperature < 0 or not 0 < self.top_p <= 1 or self.top_k < 0:
            raise UserError(
                f"temperature {self.temperature}, top_p {self.top_p}, top_k {self.top_k}: out of range",
                "they must be at least 0, in (0, 1] and at least 0",
            )
        if self.temperature == 0 and self.runs > 1:
            raise UserError(
                f"{self.runs} runs at temperature 0 would be one run counted {self.runs} times",
                "set --runs 1, or a temperature",
            )

    def sampling(self, max_tokens: int) -> Sampling:
        """Return the sampling parameters.

        Args:
            max_tokens: token limit of a completion if the options set none.
        """
        return Sampling(self.temperature, self.top_p, self.top_k, self.max_tokens or max_tokens)
