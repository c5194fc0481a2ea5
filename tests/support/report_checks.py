"""Helpers of the report's tests: small results folders, and checks of pages and tables."""

import csv
import html.parser
import itertools
import re
from collections import Counter
from pathlib import Path

import numpy as np

from permix_verl.evaluation.sample_store import Sample, SampleStore

ODD_PERSONA = r"x|$^{2}\<b>_&%"
PERSONAS = ("expert", "kindergarten", ODD_PERSONA, "lawyer", "poet")
RUNS, PROBLEMS = 3, 30
INVARIANT = "not distinguishable from persona-invariant"


def write_results(
    folder: Path,
    terrible: int | None,
    seed: int,
    *,
    runs: int = RUNS,
    chance: float | None = None,
    problems: int = PROBLEMS,
) -> Path:
    """Write a results folder: all conditions are equal, but one persona keeps a tenth of its correct completions."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(0.8, 0.6, problems) if chance is None else np.full(problems, chance)
    store = SampleStore(folder)
    with store.writing():
        model = {"name": f"org/{folder.name}-model", "fingerprint": "x"}
        store.begin(
            {"model": model, "adapter": None, "tasks": {"arith": {"problems": problems}}},
            {"arith": {"arms": [*PERSONAS, "no_persona"], "runs": runs}},
        )
        samples = []
        for persona, run, problem in itertools.product((*PERSONAS, "no_persona"), range(runs), range(problems)):
            bad = terrible is not None and persona == PERSONAS[terrible]
            solved = rng.random() < chances[problem] * (0.1 if bad else 1)
            status = "correct" if solved else "no_answer" if rng.random() < 0.3 else "wrong"
            finish = "length" if rng.random() < 0.2 else "stop"
            samples.append(
                Sample(
                    key=f"{persona}-{run}-{problem}",
                    task="arith",
                    persona=persona,
                    problem=f"arith/{problem}",
                    run=run,
                    prompt="p",
                    prompt_sha256="h",
                    gold="1",
                    output="o",
                    pred="1",
                    status=status,
                    finish_reason=finish,
                    prompt_tokens=80,
                    completion_tokens=int(rng.integers(50, 300)),
                    seed=0,
                )
            )
        store.append(samples)
    return folder


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class Page(html.parser.HTMLParser):
    """A parsed page: open tags, counts of tags and ids, text."""

    VOID = ("meta", "br", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.ids.update(str(value) for name, value in attrs if name == "id")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def check_page(text: str, figures: int) -> None:
    """Check that a page is well-formed and self-contained, with this number of figures."""
    page = Page(text)
    assert page.open == []
    assert page.seen["svg"] == page.seen["figure"] == page.seen["figcaption"] == figures
    assert [name for name, times in page.ids.items() if times > 1] == []
    assert not {"script", "link", "img", "iframe"} & set(page.seen)
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http" not in without_namespaces
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text
    # Figures use the theme's colours, or lines would be dark on dark.
    assert "#00a0" not in text
    assert "prefers-color-scheme: dark" in text


def cells_of(row: str) -> int:
    """Count the columns that a row of a tabular fills."""
    spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) - len(spans)


def check_latex(text: str, columns: int, start: str = "% PSS: ratio of means", rule: str = "2-5") -> None:
    """Check that braces are balanced and that all rows have this number of cells."""
    assert text.startswith(start)
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[{}%&]", "", body)
    assert bare.count("{") == bare.count("}")
    depths = itertools.accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in bare)
    assert min(depths) >= 0
    assert "%" not in bare
    alignment = re.search(r"\\begin\{tabular\}\{([lr]+)\}", body)
    assert alignment is not None
    filled = {cells_of(line) for line in body.splitlines() if line.endswith(r"\\")}
    assert filled == {len(alignment[1])} == {columns}
    for command in ("toprule", "midrule", "bottomrule", f"cmidrule(lr){{{rule}}}", "end{tabular}", "end{table}"):
        assert f"\\{command}" in body
