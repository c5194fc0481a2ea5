"""The study of the lab, or of a packaged model: train every method with every seed, evaluate, and report together.

Trainings, evaluations and the report are commands of ``permix``. Each resumes, so the same study continues a stopped
one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.utils.commands import PERMIX, run_command

LEAST_PROBLEMS, MOST_PROBLEMS = 20, 400
"""Test problems per task: what the report needs, and all that there are."""


@dataclass(frozen=True, slots=True)
class StudyMethod:
    """A method of the study.

    Attributes:
        name: name in the report, as in the claims.
        recipe: recipe of ``permix train``.
        knobs: its knobs.
    """

    name: str
    recipe: str
    knobs: tuple[str, ...] = ()


STUDY_METHODS: Mapping[str, StudyMethod] = {
    "rlvr": StudyMethod("RLVR", "rlvr_grpo"),
    "permix": StudyMethod("PerMix-RLVR", "permix_grpo"),
    "sft": StudyMethod("SFT", "sft"),
    "permix-sft": StudyMethod("PerMix-SFT", "permix_sft", ("TARGET=gt",)),
    "permix-sft-styled": StudyMethod("PerMix-SFT (styled)", "permix_sft", ("TARGET=styled",)),
    "seqkd": StudyMethod("SeqKD", "seqkd", ("PERSONA=0",)),
    "seqkd-persona": StudyMethod("SeqKD (persona)", "seqkd", ("PERSONA=1",)),
}
"""Name in folders and on the command line -> method."""


@dataclass(frozen=True, slots=True)
class StudyWorld:
    """What a study trains and evaluates on.

    Attributes:
        name: part of the runs' names.
        knobs: knobs of its trainings.
        methods: keys of :data:`STUDY_METHODS` that can be trained there.
        tasks: tasks of the evaluation, comma-separated.
        temperature: of the evaluation.
        runs: completions per problem and persona, by default.
        by_likelihood: fidelity is measured by likelihood under the base; else by the lab's planted words.
    """

    name: str
    knobs: tuple[str, ...]
    methods: tuple[str, ...]
    tasks: str
    temperature: float
    runs: int
    by_likelihood: bool


LAB = StudyWorld("lab", ("LAB=1",), tuple(STUDY_METHODS), "lab_easy,lab_hard", 1, 2, by_likelihood=False)
PLAIN = StudyWorld("plain", (), ("rlvr", "permix", "sft", "permix-sft"), "plain_one", 0.7, 1, by_likelihood=True)
"""Generated problems in plain words, for a packaged model (docs/real_model.md). There is no rewriter and no teacher."""


@dataclass(frozen=True, slots=True)
class StudyStep:
    """A command of a study.

    Attributes:
        is_check: the check of the base. If it ends with status 1, no step that needs it is run, and the study goes on.
        needs_check: scores fidelity by the checked base.
    """

    title: str
    command: list[str]
    is_check: bool = False
    needs_check: bool = False


@dataclass(frozen=True, slots=True)
class StudySettings:
    """Settings of a study.

    Attributes:
        methods: keys of :data:`STUDY_METHODS`.
        seeds: training runs per method, with seeds 0, 1 and so on.
        limit: test problems per task.
        runs: completions per problem and persona.
        out: one results folder per model, and the report.
        runs_dir: folder of the training runs.
        model: the base.
        overrides: keys of verl for the RL methods.
        world: the lab, or the problems of a packaged model.
    """

    methods: Sequence[str]
    seeds: int
    limit: int
    runs: int
    out: Path
    runs_dir: Path
    model: str
    overrides: Sequence[str] = ()
    world: StudyWorld = LAB

    def check(self) -> None:
        """Refuse what would fail later.

        Raises:
            UserError: an unknown method, a number of problems that the report cannot use, or a comma in ``out``.
        """
        for method in self.methods:
            if method not in STUDY_METHODS:
                raise UserError(f"unknown method '{method}'", f"known: {' '.join(STUDY_METHODS)}")
            if method not in self.world.methods:
                raise UserError(
                    f"method '{method}' needs a model that writes its targets, and {self.model} comes with none",
                    f"for this model: {' '.join(self.world.methods)}",
                )
        if not LEAST_PROBLEMS <= self.limit <= MOST_PROBLEMS:
            raise UserError(
                f"LIMIT={self.limit}: the report needs at least {LEAST_PROBLEMS}, and there are {MOST_PROBLEMS}"
            )
        if "," in str(self.out):
            raise UserError(f"OUT={self.out} has a comma, which separates folders for permix lab", "give another")


def run_study(settings: StudySettings, environment: Mapping[str, str]) -> int:
    """Run all commands in turn, up to the first that fails.

    Args:
        environment: variables of the commands.

    Returns:
        Exit status of the command that failed, or 0.
    """
    passed = True
    for step in study_steps(settings):
        if step.needs_check and not passed:
            continue
        print(f"\n== {step.title}", flush=True)
        status = run_command(step.command, environment)
        if step.is_check and status == 1:
            passed = False
            print("fidelity by likelihood is left out: the base did not pass its check", flush=True)
        elif status:
            return status
    return 0


def study_steps(settings: StudySettings) -> Iterator[StudyStep]:
    """Yield every evaluation and training, the measure of fidelity, and the report."""
    yield StudyStep("base model: evaluation", _evaluation(settings, "base"))
    for seed in range(settings.seeds):
        for key in settings.methods:
            run = settings.runs_dir / f"{key}-{settings.world.name}-seed{seed}"
            title = f"{key}, seed {seed} of {settings.seeds}"
            yield StudyStep(f"{title}: training", _training(settings, STUDY_METHODS[key], seed, run))
            adapter = ["--adapter", str(run / "adapter")]
            yield StudyStep(f"{title}: evaluation", [*_evaluation(settings, f"{key}-seed{seed}"), *adapter])
    if settings.world.by_likelihood:
        check = settings.out / "likelihood-check"
        options = ["--model", settings.model, "--out", str(check)]
        yield StudyStep("check of the base", [*PERMIX, "likelihood-check", *options], is_check=True)
        folders = [str(settings.out / name) for name in ("base", *_trained(settings))]
        options = ["--base", settings.model, "--check", str(check)]
        yield StudyStep("fidelity by likelihood", [*PERMIX, "likelihood", *folders, *options], needs_check=True)
    yield StudyStep("report", _report(settings))


def _trained(settings: StudySettings) -> list[str]:
    """Return the names of the trained models' results folders."""
    return [f"{key}-seed{seed}" for key in settings.methods for seed in range(settings.seeds)]


def _training(settings: StudySettings, method: StudyMethod, seed: int, run: Path) -> list[str]:
    knobs = [f"SEED={seed}", f"RUN_DIR={run}", *settings.world.knobs, *method.knobs]
    overrides = settings.overrides if method.recipe.endswith("_grpo") else ()
    return [*PERMIX, "train", method.recipe, *knobs, *overrides]


def _evaluation(settings: StudySettings, name: str) -> list[str]:
    return [
        *(*PERMIX, "eval"),
        *("--model", settings.model),
        *("--tasks", settings.world.tasks),
        *("--limit", str(settings.limit)),
        *("--runs", str(settings.runs)),
        *("--temperature", f"{settings.world.temperature:g}"),
        *("--top-p", "1"),
        *("--out", str(settings.out / name)),
    ]


def _report(settings: StudySettings) -> list[str]:
    lab = not settings.world.by_likelihood
    command = [*PERMIX, *(("lab", "--base") if lab else ("report",)), str(settings.out / "base")]
    for key in settings.methods:
        folders = ",".join(str(settings.out / f"{key}-seed{seed}") for seed in range(settings.seeds))
        if lab:
            command += ["--arm", f"{STUDY_METHODS[key].name}={folders}"]
        else:  # a method of one seed has nothing to pool
            command.append(f"{STUDY_METHODS[key].name}={folders}" if settings.seeds > 1 else folders)
    return [*command, "--out", str(settings.out / "report")]
