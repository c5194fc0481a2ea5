"""Arms and tables of the paper (its section 4.2 and appendix C), by the recipes and tasks that make them."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.fidelity.personagym.scores import TOTAL
from permix_verl.fidelity.personagym.tasks import TASKS

PAPER_MODEL = "meta-llama/Llama-3.1-8B-Instruct"
TEACHERS: Mapping[str, tuple[str, str]] = {
    "qwen": ("Qwen3-32B", "Qwen/Qwen3-32B"),
    "llama": ("Llama3.1-70B", "meta-llama/Llama-3.1-70B-Instruct"),
    "gemma": ("Gemma3-27B", "google/gemma-3-27b-it"),
}
"""Key -> (the paper's name, the hub's)."""


@dataclass(frozen=True)
class Arm:
    """One row of the paper's tables.

    Attributes:
        key: of its folders, and of the command line.
        recipe: in recipes/; ``None`` is the base model.
        settings: knobs of that recipe.
        row: method, teacher, input and objective as ``docs/paper_tables`` has them.
        writer: who writes its targets: "", "rewriter" or a key of :data:`TEACHERS`.
    """

    key: str
    recipe: str | None
    row: tuple[str, str, str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
    writer: str = ""

    @property
    def supervised(self) -> bool:
        return self.recipe is not None and "grpo" not in self.recipe

    @property
    def label(self) -> str:
        method, teacher, given, objective = self.row
        parts = [teacher] if teacher != "none" else []
        parts += ["styled"] if objective == "styled targets" else []
        parts += ["persona"] if teacher != "none" and given != "problem" else []
        return f"{method} ({', '.join(parts)})" if parts else method


_PROBLEM, _BOTH = "problem", "persona + problem"
BASE = Arm("base", None, ("Base", "none", _PROBLEM, "none"))
SFT = Arm("sft", "run_sft.sh", ("SFT", "none", _PROBLEM, "ground-truth targets"))
PERMIX_SFT = Arm(
    "permix-sft", "run_permix_sft.sh", ("PerMix-SFT", "none", _BOTH, "ground-truth targets"), {"TARGET": "gt"}
)
STYLED = Arm(
    "permix-sft-styled",
    "run_permix_sft.sh",
    ("PerMix-SFT", "none", _BOTH, "styled targets"),
    {"TARGET": "styled"},
    "rewriter",
)
SEQKD = tuple(
    Arm(
        f"seqkd-{key}{suffix}",
        "run_seqkd.sh",
        ("SeqKD", name, given, "teacher targets"),
        {"PERSONA": persona},
        key,
    )
    for key, (name, _) in TEACHERS.items()
    for persona, suffix, given in (("0", "", _PROBLEM), ("1", "-persona", _BOTH))
)
RLVR = Arm("rlvr", "run_rlvr_grpo.sh", ("RLVR", "none", _PROBLEM, "answer reward"))
PERMIX = Arm("permix", "run_permix_grpo.sh", ("PerMix-RLVR", "none", _BOTH, "answer reward"))
ALL = (BASE, SFT, PERMIX_SFT, STYLED, *SEQKD, RLVR, PERMIX)


@dataclass(frozen=True)
class PaperTable:
    """A table of the paper.

    Attributes:
        tasks: of eval/run.py, as far as they are what the table is about.
        personagym: whether it has PersonaGym's scores too.
        paper: file in docs/paper_tables with its figures.
        difficulties: of a task that is reported in parts.
    """

    number: str
    about: str
    arms: tuple[Arm, ...]
    tasks: tuple[str, ...]
    personagym: bool
    paper: str
    difficulties: tuple[str, ...] = ()

    def columns(self, task: str, reported: Sequence[str]) -> list[str]:
        """A task's columns, of the results that there are: itself, or the parts that the table is about."""
        if not self.difficulties or task in reported:
            return [task]
        # Every release that was evaluated: livecodebench_v1_hard, livecodebench_v6_hard.
        return [name for name in reported if any(name.endswith(f"_{one}") for one in self.difficulties)]


_MATH = ("gsm8k", "math500")
_CODE = ("livecodebench",)
TABLES: Mapping[str, PaperTable] = {
    table.number: table
    for table in (
        PaperTable("2", "teacher-free", (BASE, SFT, PERMIX_SFT, STYLED, RLVR, PERMIX), _MATH, True, "table2_3.csv"),
        PaperTable("3", "distillation", (*SEQKD, RLVR, PERMIX), _MATH, True, "table2_3.csv"),
        PaperTable("4", "code, easy and medium", ALL, _CODE, False, "table4_12_livecodebench.csv", ("easy", "medium")),
        PaperTable("10", "PersonaGym, all tasks", ALL, (), True, "table10_personagym.csv"),
        PaperTable("11", "AIME 2024", ALL, ("aime24",), False, "table11_aime24.csv"),
        PaperTable("12", "code, hard", ALL, _CODE, False, "table4_12_livecodebench.csv", ("hard",)),
    )
}


def find_table(number: str) -> PaperTable:
    """A table by its number.

    Raises:
        UserError: none of those that compare trained models.
    """
    if number not in TABLES:
        known = ", ".join(f"{table.number} ({table.about})" for table in TABLES.values())
        raise UserError(f"no table {number!r} that compares trained models; known: {known}")
    return TABLES[number]


FIDELITY_FILE = "table10_personagym.csv"
"""The paper's PersonaGym scores; those of its Tables 2 and 3 are the same."""


def paper_fidelity(file: Path) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """The paper's PersonaGym scores by row: by PersonaGym's names of the tasks, and "total"."""
    columns = {task.name: task.name.lower().replace(" ", "_") for task in TASKS.values()}
    columns |= {"Toxicity": "toxicity_control", TOTAL: "mean"}
    found = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines):
            row = (record["method"], record["teacher"], record["input"], record["objective"])
            found[row] = {name: float(record[column]) for name, column in columns.items()}
    return found


def paper_figures(file: Path) -> dict[tuple[str, str, str, str, str], dict[str, float]]:
    """The paper's figures by row and task: worst, best and mean in percent, PSS a ratio.

    Of LiveCodeBench they are those of release v1, whose numbers of problems they fit (docs/code.md).
    """
    found = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines):
            row = (record["method"], record["teacher"], record["input"], record["objective"], record["task"])
            figures = {name: float(record[name]) for name in ("worst", "best", "mean", "pss")}
            if record["task"].startswith("livecodebench"):
                # Printed as shares where the problems are hard.
                scale = 100 if record["task"].endswith("_hard") else 1
                figures = {name: value * (1 if name == "pss" else scale) for name, value in figures.items()}
                row = (*row[:4], record["task"].replace("livecodebench", "livecodebench_v1"))
            found[row] = figures
    return found
