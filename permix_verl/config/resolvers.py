"""OmegaConf resolvers of the configuration's files: arithmetic on settings, and paths.

``${permix.micro_batch:32}`` and the like are resolved as the configuration is composed, so verl's processes see values.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

PACKAGE = Path(__file__).resolve().parents[1]
LAB_MODEL = PACKAGE / "lab" / "model"
LAB_TEACHER = PACKAGE / "lab" / "teacher"
_MAX_THREADS = 8


def problems_per_step(batch: int, unit: str, rollouts: int) -> int:
    """Return the problems of a step: ``batch``, or its completions divided by the rollouts of each problem."""
    return batch // rollouts if unit == "completions" and rollouts > 0 else batch


def largest_divisor(limit: int, number: int) -> int:
    """Return the largest divisor of ``number`` up to ``limit``."""
    return max((size for size in range(1, min(limit, number) + 1) if number % size == 0), default=1)


def micro_batch(limit: int, *, _root_: DictConfig) -> int:
    """Return the largest micro-batch up to ``limit`` that divides a rank's samples, as verl requires."""
    ours = _root_.permix
    batch = _root_.data.train_batch_size
    if not isinstance(batch, int):
        return 1  # verl refuses it
    rows = batch * int(ours.get("rollouts", 1))
    return largest_divisor(int(limit), rows // max(1, int(ours.gpus) * int(ours.nodes)))


def threads(ranks: int) -> int:
    """Return the OpenMP threads of a rank: the machine's cores divided among the ranks."""
    return min(_MAX_THREADS, max(1, len(os.sched_getaffinity(0)) // max(1, int(ranks))))


def project_folder() -> Path:
    """Return the folder of ``runs`` and ``results``: the checkout, or the working directory outside of one."""
    checkout = PACKAGE.parent
    return checkout if (checkout / "recipes").is_dir() else Path.cwd()


def lab_name(model: str) -> str:
    """Return the lab's part of a run's name."""
    return "lab" if model == str(LAB_MODEL) else f"lab-{Path(model).name}"


def seqkd_name(teacher: str | None, persona: bool) -> str:
    """Return the method's part of a SeqKD run's name."""
    return "seqkd" + (f"-{Path(teacher).name}" if teacher else "") + ("-persona" if persona else "")


def _when(condition: Any, then: Any, otherwise: Any) -> Any:
    return then if condition else otherwise


def _without_cluster(value: Any) -> Any:
    return None if os.environ.get("RAY_ADDRESS") else value


def _times(factor: float, value: float) -> float:
    product = factor * value
    return int(product) if math.isfinite(product) and product == int(product) else product


RESOLVERS: Mapping[str, Callable[..., Any]] = {
    "basename": lambda path: Path(str(path)).name,
    "dirname": lambda path: str(Path(str(path)).parent),
    "lab_name": lab_name,
    "loggers": lambda trackers: ["console", "file", *trackers],
    "longer": lambda one, other: one > other,
    "micro_batch": micro_batch,
    "path": lambda inside: str(PACKAGE / inside),
    "problems": problems_per_step,
    "ray_address": lambda default: os.environ.get("RAY_ADDRESS") or default,
    "runs": lambda name: str(project_folder() / "runs" / name),
    "seqkd": seqkd_name,
    "threads": threads,
    "times": _times,
    "when": _when,
    "without_cluster": _without_cluster,
}
"""Name behind ``permix.`` -> function."""


def register() -> None:
    """Register the resolvers; again is no harm."""
    for name, function in RESOLVERS.items():
        OmegaConf.register_new_resolver(f"permix.{name}", function, replace=True)
