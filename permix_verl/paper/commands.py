"""Commands of a table in order, and their plan."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.questions import load_questions
from permix_verl.paper.estimates import (
    GENERATION_EFFICIENCY,
    PERSONA_TOKENS,
    PROMPT_TOKENS,
    TARGET_TOKENS,
    TRAIN_ROWS,
    TRAINING_EFFICIENCY,
    Estimate,
    evaluation_estimate,
    parameters,
    training_estimate,
)
from permix_verl.paper.settings import PaperSettings, results_folder, run_folder
from permix_verl.paper.tables import Method, PaperTable
from permix_verl.personas.pool import load_pool
from permix_verl.utils.commands import PERMIX


@dataclass(frozen=True)
class Step:
    """One command: a training, an evaluation or a judgement."""

    title: str
    command: Sequence[str]

    def line(self) -> str:
        """Format the command as a shell line."""
        return shlex.join(self.command)


def steps(table: PaperTable, settings: PaperSettings) -> list[Step]:
    """List training, evaluation and, with judges, PersonaGym of every method, seed by seed, in the table's order.

    Raises:
        UserError: no model is named to write a method's targets.
    """
    return [
        step
        for one in settings.each_seed()
        for method in table.methods
        for step in _method_steps(table, method, one, f", seed {one.seed}" if settings.seeds > 1 else "")
    ]


def _method_steps(table: PaperTable, method: Method, settings: PaperSettings, seed: str) -> list[Step]:
    commands = []
    adapter: list[str] = []
    out = ["--out", str(results_folder(method, settings))]
    name = f"{method.label}{seed}"
    if method.recipe:
        commands.append(Step(f"{name}: training", [*PERMIX, "train", method.recipe, *_knobs(method, settings)]))
        adapter = ["--adapter", str(run_folder(method, settings) / "adapter")]
    if settings.tasks:
        evaluation = [*PERMIX, "eval", "--model", settings.model, "--tasks", ",".join(settings.tasks)]
        evaluation += ["--runs", str(settings.runs), "--seed", str(settings.seed), *settings.eval_flags]
        evaluation += ["--limit", str(settings.limit)] if settings.limit else []
        commands.append(Step(f"{name}: evaluation", [*evaluation, *adapter, *out]))
    if table.personagym and settings.judges:
        judged = [*PERMIX, "judge", "--model", settings.model, *adapter]
        judged += ["--questions", settings.questions, "--seed", str(settings.seed), *settings.personagym_flags]
        judged += [part for judge in settings.judges for part in ("--judge", judge)]
        commands.append(Step(f"{name}: PersonaGym", [*judged, *out]))
    return commands


def _knobs(method: Method, settings: PaperSettings) -> list[str]:
    knobs = {"MODEL": settings.model, "SEED": str(settings.seed), "RUN_DIR": str(run_folder(method, settings))}
    knobs |= method.settings
    if settings.lab:
        knobs["LAB"] = "1"
    if method.writer:
        rewrites = method.writer == "rewriter"
        knobs["REWRITER" if rewrites else "TEACHER"] = _writer(method, settings)
        if url := settings.rewriter_url if rewrites else settings.teacher_url:
            knobs["BASE_URL"] = url
    return [f"{name}={value}" for name, value in knobs.items()]


def _writer(method: Method, settings: PaperSettings) -> str:
    writer = settings.writers.get(method.writer, "")
    if not writer:
        raise UserError(
            f"{method.label}: no model is set to write its targets", "set REWRITER (the paper's: gpt-5-mini)"
        )
    return writer


def plan_lines(table: PaperTable, settings: PaperSettings) -> list[str]:
    """Format the whole plan as text lines."""
    on = ", ".join([*settings.tasks, *(["PersonaGym"] if table.personagym else [])])
    seeds = f", {settings.seeds} seeds each" if settings.seeds > 1 else ""
    lines = [f"Table {table.number} of the paper, {table.about}: {len(table.methods)} methods on {on}{seeds}"]
    for step in steps(table, settings):
        lines += [f"  {step.title}", f"    {step.line()}"]
    lines.append(f"  report: {settings.out / f'table{table.number}.md'}")
    return [*lines, *_estimate_lines(table, settings), *_call_lines(table, settings)]


def _estimate_lines(table: PaperTable, settings: PaperSettings) -> list[str]:
    size, whole = parameters(settings.model), Estimate()
    if size is None:
        return [f"no estimate: the name {settings.model!r} has no model size"]
    header = f"{'method':<28} {'training tokens':>16} {'GPU hours':>10} {'evaluation tokens':>18} {'GPU hours':>10}"
    lines = [header if settings.seeds == 1 else f"{header}   of one seed"]
    for method in table.methods:
        training, evaluation = training_estimate(method, settings, size), evaluation_estimate(settings, size)
        lines.append(
            f"{method.label:<28} {training.tokens:>16,.0f} {training.gpu_hours:>10.1f} "
            f"{evaluation.tokens:>18,.0f} {evaluation.gpu_hours:>10.1f}"
        )
        whole.tokens += settings.seeds * (training.tokens + evaluation.tokens)
        whole.gpu_hours += settings.seeds * (training.gpu_hours + evaluation.gpu_hours)
    return [
        *lines,
        f"in all about {whole.tokens:,.0f} tokens and {whole.gpu_hours:,.0f} GPU hours (estimated), assuming",
        f"  {settings.tflops:g} TFLOP/s a GPU, {TRAINING_EFFICIENCY:.0%} of it in training and "
        f"{GENERATION_EFFICIENCY:.0%} in generation; GSM8K and the recipes' defaults; prefill not counted.",
    ]


def _call_lines(table: PaperTable, settings: PaperSettings) -> list[str]:
    lines = []
    if any(method.writer == "rewriter" for method in table.methods):
        calls = TRAIN_ROWS * settings.seeds
        prompt_tokens = calls * (2 * PERSONA_TOKENS + 2 * PROMPT_TOKENS + TARGET_TOKENS)
        lines.append(
            f"rewriter: {calls} calls, about {prompt_tokens:,} prompt and {calls * TARGET_TOKENS:,} completion tokens"
        )
    if table.personagym:
        questions = load_questions(settings.questions).questions
        calls = sum(len(texts) for persona in load_pool("eval") for texts in questions.get(persona.key, {}).values())
        judges, models = len(settings.judges), len(table.methods) * settings.seeds
        lines.append(
            f"PersonaGym: {calls} answers a model and {calls} calls of each judge, "
            + (
                f"{judges * calls * models:,} in all with {judges}"
                if judges
                else "but no judge is set: set JUDGE (the paper's: gpt-5-mini and DeepSeek-v3.2)"
            )
        )
    return lines
