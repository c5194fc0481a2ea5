"""Tests of the report: its six files, numbers against recomputation, conclusions, escaping, same bytes again."""

import itertools
import json
import os
import statistics as plain
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from permix_verl import report
from permix_verl.cli import report as script

from ...support.report_checks import (
    INVARIANT,
    ODD_PERSONA,
    PERSONAS,
    PROBLEMS,
    RUNS,
    Page,
    check_latex,
    check_page,
    rows,
    write_results,
)

ROOT = Path(__file__).resolve().parents[3]
STRANGE = "<b>_&%"


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


def stored(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples" / "arith.jsonl").read_text().splitlines()]


def test_six_files_and_nothing_else(built: Path) -> None:
    assert {file.name for file in built.iterdir()} == set(report.FILES)
    assert [file.name for file in built.parent.iterdir()] == ["report"]  # no temporary folder is left


def test_page_and_latex_are_well_formed(built: Path) -> None:
    check_page((built / "report.html").read_text(encoding="utf-8"), figures=6)
    check_latex((built / "table2.tex").read_text(encoding="utf-8"), columns=5)


def test_summary_matches_the_samples(built: Path, folders: dict[str, Path]) -> None:
    found = {row["model"]: row for row in rows(built / "summary.csv")}
    assert list(found) == list(folders)
    for label, folder in folders.items():
        row, samples = found[label], stored(folder)
        by_persona = {name: [s for s in samples if s["persona"] == name] for name in PERSONAS}
        accuracy = {persona: fraction(own) for persona, own in by_persona.items()}
        worst, best = min(accuracy, key=accuracy.__getitem__), max(accuracy, key=accuracy.__getitem__)
        assert (row["worst_persona"], row["best_persona"]) == (worst, best)
        of_runs = [[fraction(s for s in own if s["run"] == run) for own in by_persona.values()] for run in range(RUNS)]
        per_problem = [
            fraction(s for own in by_persona.values() for s in own if s["problem"] == f"arith/{i}")
            for i in range(PROBLEMS)
        ]
        expected = {
            "worst": accuracy[worst],
            "best": accuracy[best],
            "mean": plain.mean(accuracy.values()),
            "mean_standard_error": plain.stdev(per_problem) / PROBLEMS**0.5,
            "no_persona": fraction(s for s in samples if s["persona"] == "no_persona"),
            "pss_ratio_of_means": accuracy[worst] / accuracy[best],
            "pss_mean_of_run_ratios": plain.mean(min(run) / max(run) for run in of_runs),
            "flips_across": flips(by_persona, same=False),
            "flips_within": flips(by_persona, same=True),
        }
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
        assert [row[name] for name in ("personas", "runs", "problems", "dropped_problems")] == ["5", "3", "30", "0"]


def fraction(samples: Iterable[dict[str, Any]]) -> float:
    return plain.mean(sample["status"] == "correct" for sample in samples)


def flips(by_persona: dict[str, list[dict[str, Any]]], same: bool) -> float:
    """Fraction of pairs of completions of one problem that differ in correctness, counted one by one."""
    differing = []
    for problem in range(PROBLEMS):
        completions = [s for own in by_persona.values() for s in own if s["problem"] == f"arith/{problem}"]
        for first, second in itertools.combinations(completions, 2):
            if (first["persona"] == second["persona"]) == same:
                differing.append((first["status"] == "correct") != (second["status"] == "correct"))
    return plain.mean(differing)


def test_personas_and_audit_match_the_samples(built: Path, folders: dict[str, Path]) -> None:
    found = {(row["model"], row["persona"]): row for row in rows(built / "personas.csv")}
    assert set(found) == set(itertools.product(folders, (*PERSONAS, "no_persona")))
    for (label, persona), row in found.items():
        own = [s for s in stored(folders[label]) if s["persona"] == persona]
        parsed = [s for s in own if s["status"] in ("correct", "wrong")]
        expected = {
            "accuracy": fraction(own),
            "std_over_runs": plain.stdev(fraction(s for s in own if s["run"] == run) for run in range(RUNS)),
            "no_answer": plain.mean(s["status"] == "no_answer" for s in own),
            "cut": plain.mean(s["finish_reason"] == "length" for s in own),
            "timeout": 0,
            "error": 0,
            "accuracy_among_parsed": fraction(parsed),
            "mean_tokens": plain.mean(s["completion_tokens"] for s in own),
        }
        assert {name: float(row[name]) for name in expected} == pytest.approx(expected)


def test_conclusions(built: Path) -> None:
    markdown, page = ((built / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert f"> **steady: {INVARIANT}.**" in markdown
    assert f"<b>steady: {INVARIANT}.</b>" in page
    found = {row["model"]: row for row in rows(built / "summary.csv")}
    no_worse_persona = "no persona is distinguishably better or worse over all"
    for null, conclusion in (("sharp", INVARIANT), ("blocks", no_worse_persona)):
        assert found["steady"][f"{null}_verdict"] == conclusion
        assert float(found["steady"][f"{null}_p_value"]) > 0.05
        assert float(found[STRANGE][f"{null}_p_value"]) == pytest.approx(1 / 201)
    assert "p = 0.005" in markdown


def test_one_terrible_persona_alone_is_never_called_invariant(folders: dict[str, Path], tmp_path: Path) -> None:
    script.main([str(folders[STRANGE]), "--out", str(tmp_path), "--draws", "200"])
    for name in ("report.md", "report.html"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert INVARIANT not in text
        assert "less stable than a persona-invariant model would be" in text


def test_refusals_give_their_reason(built: Path) -> None:
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


def test_report_states_its_terms_and_assumptions(built: Path) -> None:
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


def test_latex_row_in_the_papers_units(built: Path) -> None:
    row = next(row for row in rows(built / "summary.csv") if row["model"] == "steady")
    worst, best, mean = (f"{100 * float(row[name]):.1f}" for name in ("worst", "best", "mean"))
    line = rf"steady & {worst} & {best} & {mean} & {float(row['pss_ratio_of_means']):.3f} \\"
    assert line in (built / "table2.tex").read_text(encoding="utf-8").splitlines()


def test_same_input_same_bytes_in_another_process(built: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    """The other process has another hash seed and its own matplotlib settings."""
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
