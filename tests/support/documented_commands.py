"""Command lines in the code blocks of README.md, CONTRIBUTING.md and docs/, and how each is run in a test."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LAB = "permix_verl/lab/model"
"""Model that stands for every MODEL of the pages: it needs no hub."""
_BLOCK = re.compile(
    r"^```(?:bash|sh|console)\n(.*?)^```|(?:^    (?:bash|python|permix|\.venv/bin/\w+) [^\n]*\n)+", re.M | re.S
)
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*=")


@dataclass(frozen=True)
class Documented:
    """A command line of a page.

    Attributes:
        variables: environment variables in front of it.
        words: the command and its arguments.
    """

    page: str
    line: str
    variables: tuple[str, ...]
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.line[:60]}"


@dataclass(frozen=True)
class Check:
    """A command that stands for a documented one.

    Attributes:
        status: exit status that the page names; 0 unless said.
        must_show: flags of the documented command that the output, a help text, must list.
    """

    variables: tuple[str, ...]
    words: tuple[str, ...]
    status: tuple[int, ...] = (0,)
    must_show: tuple[str, ...] = ()


NOT_RUN = {
    "bash tests/run.sh": "the second README command: it runs this test",
    "export RAY_AUTH_MODE=token": "a shell's own",
    "ray start": "Ray's command line; e2e/test_cluster.py starts a cluster",
    "cp reward_fns/math_reward.py": "e2e/test_reward_workers.py loads the file by its path alone",
    "python -m verl.trainer.main_ppo": "verl's command line; e2e/test_reward_in_verl.py gives it the reward",
    "for ": "a loop over the next line",
    "done": "end of a loop",
    "bash recipes/run_lab.sh": "20 minutes; integration/recipes/test_run_lab.py runs it with recorded commands",
    "SEEDS=3 bash recipes/run_lab.sh": "the same",
    "METHODS=all bash recipes/run_lab.sh": "the same",
    "MODEL=smollm2 METHODS=": "hours; integration/recipes/test_run_lab.py runs it with recorded commands",
    "bash recipes/wheelhouse.sh": "fetches gigabytes; integration/recipes/test_wheelhouse.py packs a small project",
}
"""First words of lines that are not run, with the reason."""
AS_SHOWN = (
    ".venv/bin/permix doctor --model MODEL",
    "head -n 3 permix_verl/personas/pools/train.jsonl",
    "python eval/run.py --model permix_verl/lab/model --tasks lab_easy,lab_hard",
    "python eval/report.py results/lab-base",
)
"""Lines that are run as they stand, with the lab's model as MODEL; the doctor's status may be 1 (a warning)."""
_OVERRIDES = re.compile(r"^\+?(?:data|trainer|reward|actor_rollout_ref)\.")


def documented(root: Path = ROOT) -> Iterator[Documented]:
    """Yield every command line, in order; continuation lines are joined and comments dropped."""
    pages = [
        "README.md",
        "CONTRIBUTING.md",
        *sorted(str(page.relative_to(root)) for page in (root / "docs").glob("*.md")),
    ]
    for page in pages:
        if page == "docs/LOG.md":
            continue
        for block in _BLOCK.finditer((root / page).read_text()):
            text = (block[1] if block[1] is not None else block[0]).replace("\\\n", " ")
            for line in map(str.strip, text.splitlines()):
                if not line or line.startswith("#") or _OVERRIDES.match(line):
                    continue
                words = _split(line)
                count = next((n for n, word in enumerate(words) if not _VARIABLE.match(word)), len(words))
                yield Documented(page, re.sub(r"\s+", " ", line), tuple(words[:count]), tuple(words[count:]))


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(re.sub(r"\$\(.*\)", "SUBSTITUTED", line), posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    return list(lexer)


def reason_not_run(command: Documented) -> str | None:
    """Return why a line is not run; ``None`` if it is."""
    text = " ".join((*command.variables, *command.words))
    return next((reason for start, reason in NOT_RUN.items() if text.startswith(start)), None)


def check_of(command: Documented) -> Check:
    """Return what is run for a documented command line.

    Recipes resolve their overrides, or do the dry run that the page shows, with the lab's model in place of a hub
    model. Scripts and verbs print their help, which must list every flag that the page shows. :data:`AS_SHOWN` run as
    they stand.
    """
    words = command.words
    if command.line.startswith(AS_SHOWN):
        return Check(command.variables, tuple(LAB if word == "MODEL" else word for word in words), (0, 1))
    if words[0] == "bash":
        return _dry_run(command)
    count = 3 if words[1] == "-m" else 2
    arguments = words[count : words.index("--") if "--" in words else None]
    flags = tuple(dict.fromkeys(word.split("=")[0] for word in arguments if re.match(r"--?[A-Za-z]", word)))
    return Check((), (*words[:count], "--help"), must_show=flags)


def _dry_run(command: Documented) -> Check:
    variables = dict(entry.split("=", 1) for entry in command.variables)
    recipe = Path(command.words[1]).name
    if recipe == "sweep_models.sh":
        variables |= {"GPUS": "8", "GPU_GIB": "24"}
    several = recipe in ("sweep_models.sh", "reproduce.sh", "smoke_gpu.sh")
    variables.setdefault("DRY_RUN", "1" if several else "overrides")
    if "MODEL" in variables or variables["DRY_RUN"] == "plan":
        variables["MODEL"] = LAB
    return Check(tuple(f"{name}={value}" for name, value in variables.items()), command.words)
