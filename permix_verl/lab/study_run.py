"""The lab study: train every method with every seed, evaluate it and the base, and report them together.

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
    """

    methods: Sequence[str]
    seeds: int
    limit: int
    runs: int
    out: Path
    runs_dir: Path
    model: str
    overrides: Sequence[str] = ()

    def check(self) -> None:
        """Refuse what would fail later.

        Raises:
            UserError: an unknown method, a number of problems that the report cannot use, or a comma in ``out``.
        """
        for method in self.methods:
            if method not in STUDY_METHODS:
                raise UserError(f"unknown method '{method}'", f"known: {' '.join(STUDY_METHODS)}")
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
    for title, command in study_commands(settings):
        print(f"\n== {title}", flush=True)
        if status := run_command(command, environment):
            return status
    return 0


def study_commands(settings: StudySettings) -> Iterator[tuple[str, list[str]]]:
    """Yield title and command of every evaluation and training, and of the report."""
    yield "base model: evaluation", _evaluation(settings, "base")
    for seed in range(settings.seeds):
        for key in settings.methods:
            run = settings.runs_dir / f"{key}-lab-seed{seed}"
            title = f"{key}, seed {seed} of {settings.seeds}"
            yield f"{title}: training", _training(settings, STUDY_METHODS[key], seed, run)
            adapter = ["--adapter", str(run / "adapter")]
            yield f"{title}: evaluation", [*_evaluation(settings, f"{key}-seed{seed}"), *adapter]
    yield "report", _report(settings)


def _training(settings: StudySettings, method: StudyMethod, seed: int, run: Path) -> list[str]:
    knobs = [f"SEED={seed}", f"RUN_DIR={run}", "LAB=1", *method.knobs]
    overrides = settings.overrides if method.recipe.endswith("_grpo") else ()
    return [*PERMIX, "train", method.recipe, *knobs, *overrides]


def _evaluation(settings: StudySettings, name: str) -> list[str]:
    return [
        *(*PERMIX, "eval"),
        *("--model", settings.model),
        *("--tasks", "lab_easy,lab_hard"),
        *("--limit", str(settings.limit)),
        *("--runs", str(settings.runs)),
        *("--temperature", "1"),
        *("--top-p", "1"),
        *("--out", str(settings.out / name)),
    ]


def _report(settings: StudySettings) -> list[str]:
    command = [*PERMIX, "lab", "--base", str(settings.out / "base")]
    for key in settings.methods:
        folders = ",".join(str(settings.out / f"{key}-seed{seed}") for seed in range(settings.seeds))
        command += ["--arm", f"{STUDY_METHODS[key].name}={folders}"]
    return [*command, "--out", str(settings.out / "report")]
