"""Settings of a reproduction, and the folders of its methods."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from permix_verl.fidelity.personagym.questions import DEFAULT
from permix_verl.paper.tables import Method


@dataclass(frozen=True)
class PaperSettings:
    """User settings of a reproduction.

    Attributes:
        runs_dir, out: folders of the trainings and of the results.
        runs, limit: ``--runs`` and ``--limit`` of eval/run.py; ``None`` keeps its default.
        tasks: evaluation tasks.
        writers: "rewriter" and keys of :data:`TEACHERS` -> model that writes the targets.
        eval_flags, personagym_flags: more flags for eval/run.py and for eval/personagym.py.
        tflops: dense bf16 TFLOP/s of one GPU; an A5000's data sheet states 222 with sparsity.
        rewriter_url, teacher_url: endpoints; "" is vLLM on this machine.
        judges: judges of persona fidelity, as ``--judge`` of eval/personagym.py; without any it is not measured.
        questions: questions of persona fidelity, as ``--questions`` of eval/personagym.py.
        seeds: trainings and evaluations per method, with ``seed`` and the seeds after it.
        lab: whether methods are trained in the lab.
    """

    model: str
    seed: int
    runs_dir: Path
    out: Path
    runs: int
    limit: int | None
    tasks: Sequence[str]
    writers: Mapping[str, str]
    eval_flags: Sequence[str] = ()
    tflops: float = 111.0
    rewriter_url: str = ""
    teacher_url: str = ""
    judges: Sequence[str] = ()
    personagym_flags: Sequence[str] = ()
    questions: str = DEFAULT
    seeds: int = 1
    lab: bool = False

    def each_seed(self) -> list["PaperSettings"]:
        """Return the settings of every seed by itself."""
        return [replace(self, seed=self.seed + number, seeds=1) for number in range(self.seeds)]


def run_folder(method: Method, settings: PaperSettings) -> Path:
    """Return the folder in which a method is trained."""
    return settings.runs_dir / f"{method.key}-{Path(settings.model).name}-seed{settings.seed}"


def results_folder(method: Method, settings: PaperSettings) -> Path:
    """Return the folder of a method's evaluation results."""
    return settings.out / f"{method.key}-seed{settings.seed}"
