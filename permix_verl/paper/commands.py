"""What a table takes: its commands in order, and an estimate of tokens and GPU hours before anything is run.

The estimate is arithmetic on token counts, and its assumptions are printed with it. Floating-point operations of one
token, N being the model's parameters: 2N forward; an update of an adapter with checkpointed activations 6N (forward
twice, and backward through the base's activations). GRPO adds two forward passes, for old and reference log-probs.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.questions import DEFAULT, load_questions
from permix_verl.paper.tables import TEACHERS, Arm, PaperTable
from permix_verl.personas.pool import load_pool

ROWS = 7441
"""GSM8K's training problems, less 32 held out."""
PROMPT, PERSONA, TARGET, ANSWER = 120, 45, 130, 200
"""Tokens of a problem with its instruction and template, of a persona, of a solution, of an answer; about."""
PROBLEMS: Mapping[str, tuple[int, int]] = {
    "gsm8k": (1319, 200),
    "math500": (500, 500),
    "aime24": (30, 1500),
    "livecodebench": (1055, 500),
}
"""Task -> problems, and tokens of an answer, about."""
TRAINING_EFFICIENCY, GENERATION_EFFICIENCY = 0.3, 0.2


@dataclass(frozen=True)
class Settings:
    """What the user decides.

    Attributes:
        runs_dir, out: of trainings and of results.
        runs, limit: of the evaluation, as eval/run.py has them; ``None`` leaves its default.
        tasks: in place of the table's.
        writers: who writes targets: "rewriter" and keys of :data:`TEACHERS` -> model.
        eval_flags, personagym_flags: more flags of eval/run.py, and of eval/personagym.py.
        tflops: of one GPU, dense, in bf16; an A5000's data sheet says 222 with sparsity.
        rewriter_url, teacher_url: their endpoints; "" is vLLM on this machine.
        judges: of persona fidelity, as eval/personagym.py takes them; without any it is not measured.
        questions: of persona fidelity.
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
    """One command: a training or an evaluation, and the knobs in front of it."""

    title: str
    command: Sequence[str]
    knobs: Mapping[str, str] = field(default_factory=dict)

    def line(self) -> str:
        return " ".join(
            [*(f"{name}={shlex.quote(value)}" for name, value in self.knobs.items()), shlex.join(self.command)]
        )


@dataclass
class Estimate:
    """Tokens, and GPU hours; of a training the tokens are those trained on, as ``budget_of`` counts them."""

    tokens: float = 0.0
    gpu_hours: float = 0.0

    def spend(self, parameters: float, operations: float, tokens: float, efficiency: float, tflops: float) -> None:
        """Hours that these tokens take."""
        self.gpu_hours += operations * parameters * tokens / (tflops * 1e12 * efficiency) / 3600


def run_folder(arm: Arm, settings: Settings) -> Path:
    """Where an arm is trained."""
    return settings.runs_dir / f"{arm.key}-{Path(settings.model).name}-seed{settings.seed}"


def results_folder(arm: Arm, settings: Settings) -> Path:
    """Where its answers are kept."""
    return settings.out / f"{arm.key}-seed{settings.seed}"


def steps(table: PaperTable, settings: Settings, python: str, repo: Path) -> list[Step]:
    """Training and evaluation of every arm, in the table's order; persona fidelity where somebody judges it."""
    found = []
    for arm in table.arms:
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
        if arm.recipe:
            folder = run_folder(arm, settings)
            knobs = {"MODEL": settings.model, "SEED": str(settings.seed), "RUN_DIR": str(folder), **arm.settings}
            if arm.writer:
                knobs["REWRITER" if arm.writer == "rewriter" else "TEACHER"] = _writer(arm, settings)
                knobs["BASE_URL"] = settings.rewriter_url if arm.writer == "rewriter" else settings.teacher_url
            found.append(Step(f"{arm.label}: training", ["bash", str(repo / "recipes" / arm.recipe)], knobs))
            adapter = ["--adapter", str(folder / "adapter")]
        out = ["--out", str(results_folder(arm, settings))]
        if settings.tasks:
            found.append(Step(f"{arm.label}: evaluation", [*evaluation, *adapter, *out]))
        if table.personagym and settings.judges:
            judged = [python, str(repo / "eval" / "personagym.py"), "--model", settings.model, *adapter]
            judged += ["--questions", settings.questions, "--seed", str(settings.seed), *settings.personagym_flags]
            judged += [part for judge in settings.judges for part in ("--judge", judge)]
            found.append(Step(f"{arm.label}: PersonaGym", [*judged, *out]))
    return found


def _writer(arm: Arm, settings: Settings) -> str:
    writer = settings.writers.get(arm.writer, "")
    if not writer:
        raise UserError(f"{arm.label}: nobody is named who writes its targets; set REWRITER (the paper's: gpt-5-mini)")
    return writer


def parameters(model: str) -> float | None:
    """Parameters of a model by the size in its name, or ``None``."""
    found = re.search(r"(?<![0-9a-z.])(\d+(?:\.\d+)?)b(?=-|_|$)", Path(model).name.lower())
    return float(found[1]) * 1e9 if found else None


def training_estimate(arm: Arm, settings: Settings, size: float) -> Estimate:
    """Of a GSM8K training with the recipes' defaults, targets included."""
    found = Estimate()
    persona = PERSONA if arm.row[2] != "problem" else 0
    if arm.recipe is None:
        return found
    if not arm.supervised:
        samples = ROWS * 8
        found.tokens = samples * (PROMPT + persona + ANSWER)
        found.spend(size, 2, samples * ANSWER, GENERATION_EFFICIENCY, settings.tflops)
        found.spend(size, 10, found.tokens, TRAINING_EFFICIENCY, settings.tflops)
        return found
    found.tokens = 3 * ROWS * (PROMPT + persona + TARGET)
    found.spend(size, 6, found.tokens, TRAINING_EFFICIENCY, settings.tflops)
    if arm.writer in TEACHERS:
        teacher = parameters(settings.writers.get(arm.writer) or TEACHERS[arm.writer][1]) or size
        found.spend(teacher, 2, ROWS * ANSWER, GENERATION_EFFICIENCY, settings.tflops)
    return found


def evaluation_estimate(settings: Settings, size: float) -> Estimate:
    """Of one arm's evaluation: completions under 16 personas and none."""
    found = Estimate()
    for task in (text.partition("=")[0] for text in settings.tasks):
        if task in PROBLEMS:
            problems, answer = PROBLEMS[task]
            samples = min(problems, settings.limit or problems) * 17 * settings.runs
            found.tokens += samples * answer
            found.spend(size, 2, samples * answer, GENERATION_EFFICIENCY, settings.tflops)
    return found


def plan_lines(table: PaperTable, settings: Settings, python: str, repo: Path) -> list[str]:
    """The whole plan, for people."""
    size = parameters(settings.model)
    on = ", ".join([*settings.tasks, *(["PersonaGym"] if table.personagym else [])])
    lines = [f"Table {table.number} of the paper, {table.about}: {len(table.arms)} arms on {on}"]
    whole = Estimate()
    for step in steps(table, settings, python, repo):
        lines += [f"  {step.title}", f"    {step.line()}"]
    lines.append(f"  report: {settings.out / f'table{table.number}.md'}")
    if size is None:
        lines.append(f"no estimate: {settings.model!r} does not say its size")
    else:
        lines.append(
            f"{'arm':<28} {'training tokens':>16} {'GPU hours':>10} {'evaluation tokens':>18} {'GPU hours':>10}"
        )
        for arm in table.arms:
            training, evaluation = training_estimate(arm, settings, size), evaluation_estimate(settings, size)
            lines.append(
                f"{arm.label:<28} {training.tokens:>16,.0f} {training.gpu_hours:>10.1f} "
                f"{evaluation.tokens:>18,.0f} {evaluation.gpu_hours:>10.1f}"
            )
            whole.tokens += training.tokens + evaluation.tokens
            whole.gpu_hours += training.gpu_hours + evaluation.gpu_hours
        lines.append(
            f"in all about {whole.tokens:,.0f} tokens and {whole.gpu_hours:,.0f} GPU hours, not measured, but assuming"
        )
        lines.append(
            f"  {settings.tflops:g} TFLOP/s a GPU, {TRAINING_EFFICIENCY:.0%} of it in training and "
            f"{GENERATION_EFFICIENCY:.0%} in generation; GSM8K and the recipes' defaults; reading prompts left out."
        )
    if any(arm.writer == "rewriter" for arm in table.arms):
        asked = ROWS * (2 * PERSONA + 2 * PROMPT + TARGET)
        lines.append(f"rewriter: {ROWS} calls, about {asked:,} prompt and {ROWS * TARGET:,} completion tokens")
    if table.personagym:
        questions = load_questions(settings.questions).questions
        calls = sum(len(texts) for persona in load_pool("eval") for texts in questions.get(persona.key, {}).values())
        judges = len(settings.judges)
        lines.append(
            f"PersonaGym: {calls} answers a model and {calls} calls of each judge, "
            + (
                f"{judges * calls * len(table.arms):,} in all with {judges}"
                if judges
                else "and nobody is named who judges: set JUDGE (the paper's: gpt-5-mini and DeepSeek-v3.2)"
            )
        )
    return lines
