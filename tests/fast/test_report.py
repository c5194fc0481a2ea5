"""The report: six files, figures against plain recomputation, words, strange names, CSV input, bad input."""

import csv
import html.parser
import itertools
import json
import os
import re
import statistics as plain
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval import report as script
from permix_verl import UserError
from permix_verl.evaluation import report
from permix_verl.evaluation.store import Sample, SampleStore

ROOT = Path(__file__).resolve().parents[2]
TABLE_8 = ROOT / "docs" / "paper_tables" / "table8_math500.csv"
STRANGE = "<b>_&%"
ODD_PERSONA = r"x|$^{2}\<b>_&%"
PERSONAS = ("expert", "kindergarten", ODD_PERSONA, "lawyer", "poet")
RUNS, PROBLEMS = 3, 30
INVARIANT = "not distinguishable from persona-invariant"


def write_results(
    folder: Path, terrible: int | None, seed: int, *, runs: int = RUNS, chance: float | None = None
) -> Path:
    """A results folder: all arms alike, except for one persona that a tenth of the answers survive."""
    rng = np.random.default_rng(seed)
    chances = rng.beta(0.8, 0.6, PROBLEMS) if chance is None else np.full(PROBLEMS, chance)
    store = SampleStore(folder)
    with store.writing():
        model = {"name": f"org/{folder.name}-model", "fingerprint": "x"}
        store.begin(
            {"model": model, "adapter": None, "tasks": {"arith": {"problems": PROBLEMS}}},
            {"arith": {"arms": [*PERSONAS, "no_persona"], "runs": runs}},
        )
        samples = []
        for arm, run, problem in itertools.product((*PERSONAS, "no_persona"), range(runs), range(PROBLEMS)):
            bad = terrible is not None and arm == PERSONAS[terrible]
            solved = rng.random() < chances[problem] * (0.1 if bad else 1)
            status = "correct" if solved else "no_answer" if rng.random() < 0.3 else "wrong"
            finish = "length" if rng.random() < 0.2 else "stop"
            samples.append(
                Sample(
                    key=f"{arm}-{run}-{problem}",
                    task="arith",
                    persona=arm,
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


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("results")
    return {
        "steady": write_results(base / "steady", None, seed=4),
        STRANGE: write_results(base / STRANGE, terrible=1, seed=5),
    }


@pytest.fixture(scope="module")
def built(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "deep" / "report"
    script.main([*map(str, folders.values()), "--out", str(out), "--draws", "200"])
    return out


@pytest.fixture(scope="module")
def table_8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("table8")
    script.main([str(TABLE_8), "--out", str(out)])
    return out


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def stored(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples" / "arith.jsonl").read_text().splitlines()]


class Page(html.parser.HTMLParser):
    """What a browser would see: tags opened and closed, ids, text."""

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


def test_six_files_and_nothing_else(built: Path) -> None:
    assert {file.name for file in built.iterdir()} == set(report.FILES)
    assert [file.name for file in built.parent.iterdir()] == ["report"]  # no temporary folder is left


@pytest.mark.parametrize(("fixture", "figures"), [("built", 6), ("table_8", 4)])
def test_the_page_stands_alone(fixture: str, figures: int, request: pytest.FixtureRequest) -> None:
    text = (request.getfixturevalue(fixture) / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.seen["svg"] == page.seen["figure"] == page.seen["figcaption"] == figures
    assert [name for name, times in page.ids.items() if times > 1] == []
    assert not {"script", "link", "img", "iframe"} & set(page.seen)
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", text)
    assert "http" not in without_namespaces
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text
    # Colours of figures are the theme's, or a dark page would show dark lines on dark ground.
    assert "#00a0" not in text
    assert "prefers-color-scheme: dark" in text


def test_summary_is_what_the_samples_say(built: Path, folders: dict[str, Path]) -> None:
    found = {row["model"]: row for row in rows(built / "summary.csv")}
    assert list(found) == list(folders)
    for label, folder in folders.items():
        row, samples = found[label], stored(folder)
        arms = {arm: [s for s in samples if s["persona"] == arm] for arm in PERSONAS}
        accuracy = {arm: share(own) for arm, own in arms.items()}
        worst, best = min(accuracy, key=lambda arm: accuracy[arm]), max(accuracy, key=lambda arm: accuracy[arm])
        assert (row["worst_persona"], row["best_persona"]) == (worst, best)
        of_runs = [[share(s for s in own if s["run"] == run) for own in arms.values()] for run in range(RUNS)]
        per_problem = [
            share(s for own in arms.values() for s in own if s["problem"] == f"arith/{i}") for i in range(PROBLEMS)
        ]
        expected = {
            "worst": accuracy[worst],
            "best": accuracy[best],
            "mean": plain.mean(accuracy.values()),
            "mean_standard_error": plain.stdev(per_problem) / PROBLEMS**0.5,
            "no_persona": share(s for s in samples if s["persona"] == "no_persona"),
            "pss_ratio_of_means": accuracy[worst] / accuracy[best],
            "pss_mean_of_run_ratios": plain.mean(min(run) / max(run) for run in of_runs),
            "flips_across": flips(arms, same=False),
            "flips_within": flips(arms, same=True),
        }
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
        assert [row[name] for name in ("personas", "runs", "problems", "dropped_problems")] == ["5", "3", "30", "0"]


def share(samples: Iterable[dict[str, Any]]) -> float:
    return plain.mean(sample["status"] == "correct" for sample in samples)


def flips(arms: dict[str, list[dict[str, Any]]], same: bool) -> float:
    """Share of pairs of answers to one problem that differ in correctness, counted one by one."""
    pairs = [
        one["status"] == "correct"
        for problem in range(PROBLEMS)
        for first, second in itertools.combinations(
            [s for own in arms.values() for s in own if s["problem"] == f"arith/{problem}"], 2
        )
        if (first["persona"] == second["persona"]) == same
        for one in [{"status": "correct" if (first["status"] == "correct") != (second["status"] == "correct") else ""}]
    ]
    return plain.mean(pairs)


def test_personas_and_audit_are_what_the_samples_say(built: Path, folders: dict[str, Path]) -> None:
    found = {(row["model"], row["persona"]): row for row in rows(built / "personas.csv")}
    assert set(found) == set(itertools.product(folders, (*PERSONAS, "no_persona")))
    for (label, persona), row in found.items():
        own = [s for s in stored(folders[label]) if s["persona"] == persona]
        parsed = [s for s in own if s["status"] in ("correct", "wrong")]
        expected = {
            "accuracy": share(own),
            "std_over_runs": plain.stdev(share(s for s in own if s["run"] == run) for run in range(RUNS)),
            "no_answer": plain.mean(s["status"] == "no_answer" for s in own),
            "cut": plain.mean(s["finish_reason"] == "length" for s in own),
            "timeout": 0,
            "error": 0,
            "accuracy_among_parsed": share(parsed),
            "mean_tokens": plain.mean(s["completion_tokens"] for s in own),
        }
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)


def test_verdicts(built: Path) -> None:
    markdown, page = ((built / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert f"> **steady: {INVARIANT}.**" in markdown
    assert f"<b>steady: {INVARIANT}.</b>" in page
    found = {row["model"]: row for row in rows(built / "summary.csv")}
    for null in ("sharp", "blocks"):
        assert found["steady"][f"{null}_verdict"] == INVARIANT
        assert float(found["steady"][f"{null}_p_value"]) > 0.05
        assert float(found[STRANGE][f"{null}_p_value"]) == pytest.approx(1 / 201)
    assert "p = 0.005" in markdown


def test_one_terrible_persona_alone_is_never_called_invariant(folders: dict[str, Path], tmp_path: Path) -> None:
    script.main([str(folders[STRANGE]), "--out", str(tmp_path), "--draws", "200"])
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert INVARIANT not in text
        assert "less stable than a persona-invariant model would be" in text


def test_refusals_print_their_reason(built: Path) -> None:
    reason = next(iter({row["pss_refused"] for row in rows(built / "summary.csv") if row["model"] == "steady"}))
    assert "at least 150 are needed" in reason
    assert (
        reason
        in json.loads((built / "report.json").read_text())["tasks"]["arith"]["models"]["steady"]["pss_interval"][
            "refused"
        ]
    )
    for name in ("report.md", "report.html"):
        assert f"refused: {reason}" in (built / name).read_text(encoding="utf-8")


def test_what_a_reader_must_find(built: Path) -> None:
    markdown = (built / "report.md").read_text(encoding="utf-8")
    page = "".join(Page((built / "report.html").read_text(encoding="utf-8")).text)
    for text in (
        "PSS, ratio of means",
        "PSS, mean of run ratios",
        "single runs",
        "all runs of a persona on a problem, as one block",
        "estimates the accuracy of the chosen persona",
        "PSS without one persona",
        "cross-fitted worst minus no persona (points)",
        "10th percentile over personas (%)",
        "flips within (%)",
        "persona s.d. (points)",
        "cut at the token limit (%)",
        "accuracy among parsed (%)",
        "Every model is treated as if it were the base model",
        "a sequence-level KL coefficient",
        "does not matter which of the two models answered",
        "problems dropped",
        "seed 0",
        "k = 4",
    ):
        assert text in markdown, text
        assert text in page, text


def test_strange_names_are_escaped(built: Path) -> None:
    raw = (built / "report.html").read_text(encoding="utf-8")
    page = Page(raw)
    assert page.seen["b"] == raw.count("</b>")
    assert STRANGE not in raw
    shown = "".join(page.text)
    assert f"{STRANGE}: less stable" in shown
    assert f"({ODD_PERSONA})" in shown  # in a table
    assert shown.count(ODD_PERSONA) > shown.count(f"({ODD_PERSONA})")  # and along an axis
    markdown = (built / "report.md").read_text(encoding="utf-8")
    assert STRANGE not in markdown
    assert r"\<b\>\_&amp;%" in markdown
    latex = (built / "table2.tex").read_text(encoding="utf-8")
    assert r"\textless{}b\textgreater{}\_\&\% & " in latex


def cells_of(row: str) -> int:
    """Columns that a row of a tabular fills."""
    spans = [int(span) for span in re.findall(r"\\multicolumn\{(\d+)\}", row)]
    return len(re.findall(r"(?<!\\)&", row)) + 1 + sum(spans) - len(spans)


@pytest.mark.parametrize("fixture", ["built", "table_8"])
def test_latex_is_whole(fixture: str, request: pytest.FixtureRequest) -> None:
    text = (request.getfixturevalue(fixture) / "table2.tex").read_text(encoding="utf-8")
    assert text.startswith("% PSS: ratio of means")
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[{}%&]", "", body)
    assert bare.count("{") == bare.count("}")
    depths = itertools.accumulate({"{": 1, "}": -1}.get(letter, 0) for letter in bare)
    assert min(depths) >= 0
    assert "%" not in bare
    alignment = re.search(r"\\begin\{tabular\}\{([lr]+)\}", body)
    assert alignment is not None
    filled = {cells_of(line) for line in body.splitlines() if line.endswith(r"\\")}
    assert filled == {len(alignment[1])} == {5}
    for command in ("toprule", "midrule", "bottomrule", "cmidrule(lr){2-5}", "end{tabular}", "end{table}"):
        assert f"\\{command}" in body


def test_latex_row_in_the_papers_units(built: Path) -> None:
    row = next(row for row in rows(built / "summary.csv") if row["model"] == "steady")
    worst, best, mean = (f"{100 * float(row[name]):.1f}" for name in ("worst", "best", "mean"))
    line = rf"steady & {worst} & {best} & {mean} & {float(row['pss_ratio_of_means']):.3f} \\"
    assert line in (built / "table2.tex").read_text(encoding="utf-8").splitlines()


def test_the_papers_table_8_as_csv(table_8: Path) -> None:
    printed = {row["model"]: float(row["pss"]) for row in rows(TABLE_8.with_name("table8_math500_pss.csv"))}
    found = {row["model"]: row for row in rows(table_8 / "summary.csv")}
    assert len(found) == 12
    assert {row["task"] for row in found.values()} == {"table8_math500"}
    assert {model: float(row["pss_ratio_of_means"]) for model, row in found.items()} == pytest.approx(printed, abs=1e-4)
    no_answers = "no answers to single problems in a CSV"
    for row in found.values():
        assert row["pss_refused"] == row["mean_refused"] == row["cross_fitted_worst_refused"] == no_answers
        assert row["sharp_p_value"] == row["mean_standard_error"] == row["runs"] == ""
    for name in ("report.md", "report.html"):
        text = (table_8 / name).read_text(encoding="utf-8")
        assert f"refused: {no_answers}" in text
        assert f"Refused: {no_answers}" in text
        assert INVARIANT not in text


def test_folder_and_csv_side_by_side(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "arith.csv").write_text("persona,theirs\nexpert,80\nlawyer,60\nno_persona,70\n")
    (tmp_path / "other.csv").write_text("persona,theirs\nexpert,50\nlawyer,40\n")
    inputs = [folders["steady"], tmp_path / "arith.csv", tmp_path / "other.csv"]
    script.main([*map(str, inputs), "--out", str(tmp_path / "out"), "--draws", "50"])
    found = {(row["task"], row["model"]): row for row in rows(tmp_path / "out" / "summary.csv")}
    assert set(found) == {("arith", "steady"), ("arith", "theirs"), ("other", "theirs")}
    assert float(found["arith", "theirs"]["pss_ratio_of_means"]) == pytest.approx(0.75)
    assert float(found["arith", "theirs"]["no_persona"]) == pytest.approx(0.7)
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "Pairs with theirs are refused: no answers to single problems in a CSV." in markdown
    latex = (tmp_path / "out" / "table2.tex").read_text(encoding="utf-8")
    assert "-- & -- & -- & -- \\\\" in latex  # steady was not run on the other task
    assert {cells_of(line) for line in latex.splitlines() if line.endswith(r"\\")} == {9}


def test_nothing_solved_in_one_run(tmp_path: Path) -> None:
    """No PSS, no test, no spread over runs: said, not crashed on, and no NaN in the JSON."""
    folder = write_results(tmp_path / "hopeless", None, seed=0, runs=1, chance=0.0)
    script.main([str(folder), "--out", str(tmp_path / "out"), "--draws", "50"])
    text = (tmp_path / "out" / "report.json").read_text()
    model = json.loads(text, parse_constant=pytest.fail)["tasks"]["arith"]["models"]["hopeless"]
    assert model["pss_ratio_of_means"] is model["flip_rates"]["within"] is None
    markdown = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "**hopeless: not tested.** Refused: no answer is correct." in markdown


def test_same_input_same_bytes_in_another_process(built: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    """Under another hash seed and with the user's own matplotlib settings."""
    (tmp_path / "matplotlibrc").write_text("font.size: 30\nlines.linewidth: 9\n")
    subprocess.run(
        [sys.executable, "eval/report.py", *folders.values(), "--out", tmp_path / "out", "--draws", "200"],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONHASHSEED": "1", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    for name in report.FILES:
        assert (tmp_path / "out" / name).read_bytes() == (built / name).read_bytes(), name


def test_the_terminal_gets_a_short_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "easy.csv").write_text("persona,theirs\nexpert,80\nlawyer,60\n")
    script.main([str(tmp_path / "easy.csv"), "--out", str(tmp_path / "out")])
    lines = capsys.readouterr().out.splitlines()
    shown = ["easy", "theirs", "60.0 (lawyer)", "80.0 (expert)", "70.0", "0.750 refused", "refused"]
    assert re.split("  +", lines[1]) == shown
    assert str(tmp_path / "out" / "report.html") in lines[-1]


def test_a_failure_leaves_the_old_report(table_8: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "report.md").write_text("old")
    analysis = json.loads((table_8 / "report.json").read_text())
    first = next(iter(analysis["tasks"]["table8_math500"]["models"]))
    models = analysis["tasks"]["table8_math500"]["models"]
    analysis["tasks"]["table8_math500"]["models"] = {first: models[first]}

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        report.write_report(analysis, tmp_path / "report")
    assert [file.name for file in tmp_path.rglob("*")] == ["report", "report.md"]
    assert (tmp_path / "report" / "report.md").read_text() == "old"


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        script.main([str(argument) for argument in arguments])
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_bad_input_is_refused_in_words(folders: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "no such file or folder" in refused(tmp_path / "nothing", "--out", out)
    (tmp_path / "notes.txt").write_text("persona,a\nx,1\n")
    assert "neither a results folder nor a .csv file" in refused(tmp_path / "notes.txt", "--out", out)
    assert "is a file; give a folder" in refused(folders["steady"], "--out", tmp_path / "notes.txt")
    assert "notes.txt is a file; give a folder" in refused(TABLE_8, "--out", tmp_path / "notes.txt" / "below")
    assert "is not a results folder" in refused(tmp_path, "--out", out)
    assert "are named steady" in refused(folders["steady"], folders["steady"], "--out", out)
    assert "are named Qwen/Qwen3-0.6B" in refused(TABLE_8, TABLE_8, "--out", out)
    assert "--draws is 5" in refused(folders["steady"], "--out", out, "--draws", 5)
    assert "--seed is -1" in refused(folders["steady"], "--out", out, "--seed", -1)
    assert not out.exists()


def test_missing_samples_are_refused_or_left_out(folders: dict[str, Path], tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    (torn / "samples").mkdir(parents=True)
    (torn / "settings.json").write_bytes((folders["steady"] / "settings.json").read_bytes())
    lines = (folders["steady"] / "samples" / "arith.jsonl").read_text().splitlines(keepends=True)
    (torn / "samples" / "arith.jsonl").write_text("".join(lines[:-1]))
    assert "are missing" in refused(torn, "--out", tmp_path / "out")
    script.main([str(torn), "--out", str(tmp_path / "out"), "--draws", "50", "--allow-incomplete"])
    (row,) = rows(tmp_path / "out" / "summary.csv")
    assert (row["problems"], row["dropped_problems"]) == ("29", "1")


def test_without_matplotlib_it_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "need matplotlib" in refused(tmp_path / "not even looked at", "--out", tmp_path / "out")
