"""The evaluation of several models in turn, and one report on all of them; their plan, in samples and tokens."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.personas.pool import load_pool, split_keys
from permix_verl.utils.commands import INTERRUPTED, PERMIX, run_command
from permix_verl.utils.nvidia_smi import query_gpus

PAPER_MODELS = (
    *(f"Qwen/Qwen3-{size}B" for size in ("0.6", "1.7", "4", "8", "32")),
    *("meta-llama/Llama-3.2-1B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.3-70B-Instruct"),
    *(f"google/gemma-3-{size}b-it" for size in (1, 4, 12, 27)),
)
"""Models of the paper's Tables 8 and 9."""
GPU_MIB = 80 << 10
"""Assumed memory of a GPU that does not tell its own."""
WEIGHTS_SHARE = 0.7
"""Most of a GPU's memory for weights: the rest is for vLLM's cache and workspace."""
_SIZE = re.compile(r"(?<![0-9a-z.])\d+(?:\.\d+)?(?=b(?:-|_|$))")
_OWN = ("--model", "--tasks", "--personas", "--runs", "--out", "--limit", "--max-tokens")


@dataclass(frozen=True, slots=True)
class TaskSize:
    """Size of a public test set.

    Attributes:
        problems: number of problems.
        max_tokens: default token limit of a completion.
        prompt_tokens: estimate; the mean problem at three to four characters per token, plus 60 for persona,
            instruction and template.
    """

    problems: int
    max_tokens: int
    prompt_tokens: int


SIZES = {"gsm8k": TaskSize(1319, 1024, 120), "math500": TaskSize(500, 2048, 125), "aime24": TaskSize(30, 4096, 160)}


@dataclass(frozen=True, slots=True)
class SweepSettings:
    """Settings of a sweep.

    Attributes:
        models: hub names or folders.
        tasks: names in :data:`SIZES`.
        runs: samples per problem and persona.
        personas: as ``--personas`` of ``permix eval``.
        out: folder with one folder per model, and the report.
        gpus: number of GPUs to use.
        gpu_gib: memory of one.
        limit: problems per task; ``None``: all.
        max_tokens: per completion; ``None``: the task's own.
        tensor_parallel: GPUs of every model's copy; ``None``: the fewest that fit.
        more: more arguments of ``permix eval``.
    """

    models: Sequence[str]
    tasks: Sequence[str]
    runs: int
    personas: str
    out: Path
    gpus: int
    gpu_gib: float
    limit: int | None = None
    max_tokens: int | None = None
    tensor_parallel: int | None = None
    more: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what would fail later, before any model is loaded.

        Raises:
            UserError: an unknown task or pool, or an argument that is a setting here.
        """
        for argument in self.more:  # they would override the settings, and one --out for all would mix the models
            name = argument.partition("=")[0]
            if name in _OWN or re.fullmatch(r"--\w+-parallel-size", name):
                raise UserError(f"{argument} is a knob here", "set it in upper case (permix sweep --help)")
        for task in self.tasks:
            if task not in SIZES:
                raise UserError(f"unknown task '{task}' in TASKS", f"known: {' '.join(SIZES)}")
        self.conditions()

    def conditions(self) -> int:
        """Count the personas and the control without one.

        Raises:
            UserError: an unknown pool.
        """
        name, _, keys = self.personas.partition(":")
        try:
            pool = load_pool(name)
        except UserError as error:
            raise error.at("PERSONAS") from None
        return (len(split_keys(keys)) if keys else len(pool)) + 1


def visible_memory() -> list[int]:
    """Return the memory of each visible GPU in MiB; :data:`GPU_MIB` for one that does not tell."""
    return [int(text) if text.isdigit() else GPU_MIB for (text,) in query_gpus("memory.total")]


def billions(model: str) -> str | None:
    """Return the billions of parameters in a model's name, as text; ``None`` if the name has no size."""
    match = _SIZE.search(Path(model).name.lower())
    return match[0] if match else None


def tensor_parallel(model: str, gpus: int, gpu_gib: float) -> int:
    """Return the fewest GPUs that hold a model's bf16 weights, a power of two: it must divide the attention heads."""
    size = float(billions(model) or 0)
    weights, split = 2e9 * size / 2**30, 1
    while weights / split > WEIGHTS_SHARE * gpu_gib and 2 * split <= gpus:
        split *= 2
    if weights / split > WEIGHTS_SHARE * gpu_gib:
        print(f"note: {size:g} B parameters are tight on {split} x {gpu_gib:g} GiB", file=sys.stderr)
    return split


def results_of(settings: SweepSettings, model: str) -> Path:
    """Return the results folder of a model."""
    return settings.out / model.replace("/", "__")


def evaluation_command(settings: SweepSettings, model: str) -> list[str]:
    """Return the command that evaluates a model."""
    if not (billions(model) or settings.tensor_parallel):
        print(f"note: '{model}' does not say its size: one GPU per copy; or set TENSOR_PARALLEL", file=sys.stderr)
    split = settings.tensor_parallel or tensor_parallel(model, settings.gpus, settings.gpu_gib)
    return [
        *(*PERMIX, "eval"),
        *("--model", model),
        *("--tasks", ",".join(settings.tasks)),
        *("--personas", settings.personas),
        *("--runs", str(settings.runs)),
        *("--out", str(results_of(settings, model))),
        *("--tensor-parallel-size", str(split)),
        *("--data-parallel-size", str(max(1, settings.gpus // split))),
        *(("--max-tokens", str(settings.max_tokens)) if settings.max_tokens else ()),
        *(("--limit", str(settings.limit)) if settings.limit else ()),
        *settings.more,
    ]


def report_command(settings: SweepSettings, models: Sequence[str]) -> list[str]:
    """Return the command that reports on models."""
    folders = [str(results_of(settings, model)) for model in models]
    return [*PERMIX, "report", *folders, "--out", str(settings.out / "report")]


def plan_lines(settings: SweepSettings) -> Iterator[str]:
    """Yield every command with its samples and tokens, and their totals."""
    samples = tokens = 0
    for model in settings.models:
        yield command_line(model, evaluation_command(settings, model))
        for task in settings.tasks:
            size, conditions = SIZES[task], settings.conditions()
            problems = min(size.problems, settings.limit or size.problems)
            of_task = problems * conditions * settings.runs
            most = of_task * (settings.max_tokens or size.max_tokens)
            yield (
                f"  {task}: {problems} problems x {conditions} conditions x {settings.runs} runs = {of_task} samples; "
                f"completions at most {most} tokens, prompts about {of_task * size.prompt_tokens}"
            )
            samples, tokens = samples + of_task, tokens + most
    report = settings.out / "report"
    yield f"in all: {samples} samples, at most {tokens} completion tokens; then permix report into {report}"


def command_line(model: str, command: Sequence[str]) -> str:
    """Format a model's command, with its size in front."""
    size = billions(model)
    return f"{model}{f' ({size} B)' if size else ''}: {shlex.join(command)}"


def run_sweep(settings: SweepSettings) -> int:
    """Evaluate the models in turn and report on those that succeeded.

    Returns:
        0; 1 if a model or the report failed; 130 after Ctrl-C.
    """
    done: list[str] = []
    failed: list[str] = []
    for model in settings.models:
        command = evaluation_command(settings, model)
        print(command_line(model, command), flush=True)
        status = run_command(command)
        if status == INTERRUPTED:  # not this model's failure
            return status
        (failed if status else done).append(model)
    status = run_command(report_command(settings, done)) if done else 0
    if failed:
        names = " ".join(failed)
        print(f"error: failed: {names}; their messages are above; the same command goes on with them", file=sys.stderr)
    return status if status == INTERRUPTED else int(bool(status or failed))
