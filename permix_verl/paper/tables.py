"""Methods and tables of the paper (arXiv 2604.08986, section 4.2 and appendix C), with their recipes and tasks."""

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
"""Key -> (name in the paper, hub name)."""


@dataclass(frozen=True)
class Method:
    """One row of the paper's tables.

    Attributes:
        key: name in folders and on the command line.
        recipe: recipe of ``permix train``; ``None`` for the base model.
        row: method, teacher, input and objective, as in ``docs/paper_tables``.
        settings: knobs of the recipe.
        writer: writer of the targets: "", "rewriter" or a key of :data:`TEACHERS`.
    """

    key: str
    recipe: str | None
    row: tuple[str, str, str, str]
    settings: Mapping[str, str] = field(default_factory=dict)
    writer: str = ""

    @property
    def supervised(self) -> bool:
        """True if trained by supervised fine-tuning."""
        return self.recipe is not None and "grpo" not in self.recipe

    @property
    def label(self) -> str:
        """Name in tables, such as "PerMix-SFT (styled)"."""
        method, teacher, given, objective = self.row
        parts = [teacher] if teacher != "none" else []
        parts += ["styled"] if objective == "styled targets" else []
        parts += ["persona"] if teacher != "none" and given != "problem" else []
        return f"{method} ({', '.join(parts)})" if parts else method


_PROBLEM, _BOTH = "problem", "persona + problem"
BASE = Method("base", None, ("Base", "none", _PROBLEM, "none"))
SFT = Method("sft", "sft", ("SFT", "none", _PROBLEM, "ground-truth targets"))
PERMIX_SFT = Method("permix-sft", "permix_sft", ("PerMix-SFT", "none", _BOTH, "ground-truth targets"), {"TARGET": "gt"})
STYLED = Method(
    "permix-sft-styled",
    "permix_sft",
    ("PerMix-SFT", "none", _BOTH, "styled targets"),
    {"TARGET": "styled"},
    "rewriter",
)
SEQKD = tuple(
    Method(
        f"seqkd-{key}{suffix}",
        "seqkd",
        ("SeqKD", name, given, "teacher targets"),
        {"PERSONA": persona},
        key,
    )
    for key, (name, _) in TEACHERS.items()
    for persona, suffix, given in (("0", "", _PROBLEM), ("1", "-persona", _BOTH))
)
RLVR = Method("rlvr", "rlvr_grpo", ("RLVR", "none", _PROBLEM, "answer reward"))
PERMIX = Method("permix", "permix_grpo", ("PerMix-RLVR", "none", _BOTH, "answer reward"))
ALL = (BASE, SFT, PERMIX_SFT, STYLED, *SEQKD, RLVR, PERMIX)


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper.

    Attributes:
        tasks: tasks of eval/run.py.
        personagym: whether it has PersonaGym scores.
        paper: file in docs/paper_tables with the paper's figures.
        difficulties: parts in which the task is reported, if any.
    """

    number: str
    about: str
    methods: tuple[Method, ...]
    tasks: tuple[str, ...]
    personagym: bool
    paper: str
    difficulties: tuple[str, ...] = ()

    def columns(self, task: str, reported: Sequence[str]) -> list[str]:
        """Return a task's columns among the tasks reported: the task itself, or its parts by difficulty."""
        if not self.difficulties or task in reported:
            return [task]
        # All evaluated releases: livecodebench_v1_hard, livecodebench_v6_hard.
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
    """Find a table by its number.

    Raises:
        UserError: not a table that compares trained models.
    """
    if number not in TABLES:
        known = ", ".join(f"{table.number} ({table.about})" for table in TABLES.values())
        raise UserError(f"no table {number!r} that compares trained models", f"known: {known}")
    return TABLES[number]


FIDELITY_FILE = "table10_personagym.csv"
"""File of the paper's PersonaGym scores; its Tables 2 and 3 repeat them."""


def paper_fidelity(file: Path) -> dict[tuple[str, str, str, str], dict[str, float]]:
    """Read the paper's PersonaGym scores: row -> PersonaGym task or "total" -> score."""
    columns = {task.name: task.name.lower().replace(" ", "_") for task in TASKS.values()}
    columns |= {"Toxicity": "toxicity_control", TOTAL: "mean"}
    by_row = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines):
            row = (record["method"], record["teacher"], record["input"], record["objective"])
            by_row[row] = {name: float(record[column]) for name, column in columns.items()}
    return by_row


def paper_figures(file: Path) -> dict[tuple[str, str, str, str, str], dict[str, float]]:
    """Read the paper's figures: row and task -> worst, best and mean in percent, PSS as a ratio.

    LiveCodeBench's are assigned to release v1, whose number of problems they fit (docs/code.md).
    """
    by_row = {}
    with file.open(encoding="utf-8", newline="") as lines:
        for record in csv.DictReader(lines):
            row = (record["method"], record["teacher"], record["input"], record["objective"], record["task"])
            figures = {name: float(record[name]) for name in ("worst", "best", "mean", "pss")}
            if record["task"].startswith("livecodebench"):
                # The paper prints fractions for the hard problems.
                scale = 100 if record["task"].endswith("_hard") else 1
                figures = {name: value * (1 if name == "pss" else scale) for name, value in figures.items()}
                row = (*row[:4], record["task"].replace("livecodebench", "livecodebench_v1"))
            by_row[row] = figures
    return by_row
