"""Commands of a table in order, and an estimate of its tokens and GPU hours.

The estimate is arithmetic on token counts; its assumptions are printed with it. FLOPs of one token for a model of N
parameters: 2N for a forward pass; 6N for an adapter update with activation checkpointing (two forward passes, and a
backward pass through the base's activations). GRPO adds two forward passes, for old and reference log-probs.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.questions import DEFAULT, load_questions
from permix_verl.paper.tables import TEACHERS, Method, PaperTable
from permix_verl.personas.pool import load_pool

TRAIN_ROWS = 7441
"""GSM8K's training problems without 32 for validation."""
PROMPT_TOKENS, PERSONA_TOKENS, TARGET_TOKENS, COMPLETION_TOKENS = 120, 45, 130, 200
"""Approximate tokens of a problem with instruction and template, a persona, a target solution, a completion."""
PROBLEMS: Mapping[str, tuple[int, int]] = {
    "gsm8k": (1319, 200),
    "math500": (500, 500),
    "aime24": (30, 1500),
    "livecodebench": (1055, 500),
}
"""Task -> number of problems, and approximate tokens of a completion."""
TRAINING_EFFICIENCY, GENERATION_EFFICIENCY = 0.3, 0.2
"""Assumed model FLOPs utilization (MFU)."""


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


@dataclass(frozen=True)
class Step:
    """One command, a training or an evaluation, with its environment knobs."""

    title: str
    command: Sequence[str]
    knobs: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        """Format the command as a shell line."""
        return " ".join(
            [*(f"{name}={shlex.quote(value)}" for name, value in self.knobs.items()), shlex.join(self.command)]
        )


@dataclass
class Estimate:
    """Estimate of tokens and GPU hours; a training counts the tokens trained on, as ``read_budget`` does."""

    tokens: float = 0.0
    gpu_hours: float = 0.0

    def add_gpu_hours(
        self, parameters: float, operations: float, tokens: float, efficiency: float, tflops: float
    ) -> None:
        """Add the GPU hours of ``tokens`` at ``operations * parameters`` FLOPs a token."""
        self.gpu_hours += operations * parameters * tokens / (tflops * 1e12 * efficiency) / 3600


def run_folder(method: Method, settings: PaperSettings) -> Path:
    """Return the folder in which a method is trained."""
    return settings.runs_dir / f"{method.key}-{Path(settings.model).name}-seed{settings.seed}"


def results_folder(method: Method, settings: PaperSettings) -> Path:
    """Return the folder of a method's evaluation results."""
    return settings.out / f"{method.key}-seed{settings.seed}"


def steps(table: PaperTable, settings: PaperSettings, python: str, repo: Path) -> list[Step]:
    """List training, evaluation and, with judges, PersonaGym of every method, in the table's order.

    Raises:
        UserError: no model is named to write a method's targets.
    """
    commands = []
    for method in table.methods:
        adapter: list[str] = []
        evaluation = [
            python,
            str(repo / "eval" / "run.py"),
            "--model",
            settings.model,
            "--tasks",
            ",".join(settings.tasks),
        ]
        evaluation += ["--runs", str(settings.runs), "--seed", str(settings.seed), *settings.eval_flags]
        evaluation += ["--limit", str(settings.limit)] if settings.limit else []
        if method.recipe:
            folder = run_folder(method, settings)
            knobs = {"MODEL": settings.model, "SEED": str(settings.seed), "RUN_DIR": str(folder), **method.settings}
            if method.writer:
                knobs["REWRITER" if method.writer == "rewriter" else "TEACHER"] = _writer(method, settings)
                knobs["BASE_URL"] = settings.rewriter_url if method.writer == "rewriter" else settings.teacher_url
            commands.append(Step(f"{method.label}: training", ["bash", str(repo / "recipes" / method.recipe)], knobs))
            adapter = ["--adapter", str(folder / "adapter")]
        out = ["--out", str(results_folder(method, settings))]
        if settings.tasks:
            commands.append(Step(f"{method.label}: evaluation", [*evaluation, *adapter, *out]))
        if table.personagym and settings.judges:
            judged = [python, str(repo / "eval" / "personagym.py"), "--model", settings.model, *adapter]
            judged += ["--questions", settings.questions, "--seed", str(settings.seed), *settings.personagym_flags]
            judged += [part for judge in settings.judges for part in ("--judge", judge)]
            commands.append(Step(f"{method.label}: PersonaGym", [*judged, *out]))
    return commands


def _writer(method: Method, settings: PaperSettings) -> str:
    writer = settings.writers.get(method.writer, "")
    if not writer:
        raise UserError(
            f"{method.label}: no model is set to write its targets", "set REWRITER (the paper's: gpt-5-mini)"
        )
    return writer


def parameters(model: str) -> float | None:
    """Parse a model's parameter count from its name; ``None`` if the name has no size."""
    match = re.search(r"(?<![0-9a-z.])(\d+(?:\.\d+)?)b(?=-|_|$)", Path(model).name.lower())
    return float(match[1]) * 1e9 if match else None


def training_estimate(method: Method, settings: PaperSettings, size: float) -> Estimate:
    """Estimate a GSM8K training with the recipes' defaults, including target generation."""
    estimate = Estimate()
    persona = PERSONA_TOKENS if method.row[2] != "problem" else 0
    if method.recipe is None:
        return estimate
    if not method.supervised:
        samples = TRAIN_ROWS * 8
        estimate.tokens = samples * (PROMPT_TOKENS + persona + COMPLETION_TOKENS)
        estimate.add_gpu_hours(size, 2, samples * COMPLETION_TOKENS, GENERATION_EFFICIENCY, settings.tflops)
        estimate.add_gpu_hours(size, 10, estimate.tokens, TRAINING_EFFICIENCY, settings.tflops)
        return estimate
    estimate.tokens = 3 * TRAIN_ROWS * (PROMPT_TOKENS + persona + TARGET_TOKENS)
    estimate.add_gpu_hours(size, 6, estimate.tokens, TRAINING_EFFICIENCY, settings.tflops)
    if method.writer in TEACHERS:
        teacher = parameters(settings.writers.get(method.writer) or TEACHERS[method.writer][1]) or size
        estimate.add_gpu_hours(teacher, 2, TRAIN_ROWS * COMPLETION_TOKENS, GENERATION_EFFICIENCY, settings.tflops)
    return estimate


def evaluation_estimate(settings: PaperSettings, size: float) -> Estimate:
    """Estimate one method's evaluation: completions under 16 personas and none."""
    estimate = Estimate()
    for task in (text.partition("=")[0] for text in settings.tasks):
        if task in PROBLEMS:
            problems, tokens = PROBLEMS[task]
            samples = min(problems, settings.limit or problems) * 17 * settings.runs
            estimate.tokens += samples * tokens
            estimate.add_gpu_hours(size, 2, samples * tokens, GENERATION_EFFICIENCY, settings.tflops)
    return estimate


def plan_lines(table: PaperTable, settings: PaperSettings, python: str, repo: Path) -> list[str]:
    """Format the whole plan as text lines."""
    size = parameters(settings.model)
    on = ", ".join([*settings.tasks, *(["PersonaGym"] if table.personagym else [])])
    lines = [f"Table {table.number} of the paper, {table.about}: {len(table.methods)} methods on {on}"]
    whole = Estimate()
    for step in steps(table, settings, python, repo):
        lines += [f"  {step.title}", f"    {step.line()}"]
    lines.append(f"  report: {settings.out / f'table{table.number}.md'}")
    if size is None:
        lines.append(f"no estimate: the name {settings.model!r} has no model size")
    else:
        lines.append(
            f"{'method':<28} {'training tokens':>16} {'GPU hours':>10} {'evaluation tokens':>18} {'GPU hours':>10}"
        )
        for method in table.methods:
            training, evaluation = training_estimate(method, settings, size), evaluation_estimate(settings, size)
            lines.append(
                f"{method.label:<28} {training.tokens:>16,.0f} {training.gpu_hours:>10.1f} "
                f"{evaluation.tokens:>18,.0f} {evaluation.gpu_hours:>10.1f}"
            )
            whole.tokens += training.tokens + evaluation.tokens
            whole.gpu_hours += training.gpu_hours + evaluation.gpu_hours
        lines.append(
            f"in all about {whole.tokens:,.0f} tokens and {whole.gpu_hours:,.0f} GPU hours (estimated), assuming"
        )
        lines.append(
            f"  {settings.tflops:g} TFLOP/s a GPU, {TRAINING_EFFICIENCY:.0%} of it in training and "
            f"{GENERATION_EFFICIENCY:.0%} in generation; GSM8K and the recipes' defaults; prefill not counted."
        )
    if any(method.writer == "rewriter" for method in table.methods):
        prompt_tokens = TRAIN_ROWS * (2 * PERSONA_TOKENS + 2 * PROMPT_TOKENS + TARGET_TOKENS)
        completion_tokens = TRAIN_ROWS * TARGET_TOKENS
        lines.append(
            f"rewriter: {TRAIN_ROWS} calls, about {prompt_tokens:,} prompt and {completion_tokens:,} completion tokens"
        )
    if table.personagym:
        questions = load_questions(settings.questions).questions
        calls = sum(len(texts) for persona in load_pool("eval") for texts in questions.get(persona.key, {}).values())
        judges = len(settings.judges)
        lines.append(
            f"PersonaGym: {calls} answers a model and {calls} calls of each judge, "
            + (
                f"{judges * calls * len(table.methods):,} in all with {judges}"
                if judges
                else "but no judge is set: set JUDGE (the paper's: gpt-5-mini and DeepSeek-v3.2)"
            )
        )
    return lines
