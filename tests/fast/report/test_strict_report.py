"""Tests of strict accuracy and the parser's share, with values computed by hand and folders without marks."""

import json
from pathlib import Path
from typing import Any

import pytest

from permix_verl.cli import report as script
from permix_verl.evaluation.sample_store import Sample, SampleStore

from ...support.report_checks import Page, rows

CODES = {
    "b": ("correct", "boxed"),
    "h": ("correct", "hash"),
    "p": ("correct", "phrase"),
    "?": ("correct", ""),
    "x": ("wrong", "boxed"),
    "y": ("wrong", ""),
    "-": ("no_answer", ""),
}
"""Status and mark of a completion, by code."""
ANSWERS = {"chef": "bbhp", "poet": "pppb", "lawyer": "bbx-", "no_persona": "ppb-"}
"""Codes of four problems for each persona and the control.

Accuracy is 1, 1 and 1/2; its mean 5/6; PSS 1/2. Strict accuracy is 3/4, 1/4 and 1/2; its mean 1/2; strict PSS 1/3.
The parser's share is 5/6 - 1/2. The lawyer is the worst persona, and the poet is under strict.
"""
OLD = {persona: codes.translate(str.maketrans("bhpx", "???y")) for persona, codes in ANSWERS.items()}
"""ANSWERS without marks, as older results folders store them."""


def write(folder: Path, answers: dict[str, str]) -> Path:
    store = SampleStore(folder)
    with store.writing():
        store.begin(
            {"model": {"name": "m"}, "adapter": None, "tasks": {"sums": {"problems": 4}}},
            {"sums": {"arms": list(answers), "runs": 1}},
        )
        for persona, codes in answers.items():
            for number, code in enumerate(codes):
                sample_id, (status, mark) = (persona, f"p{number}", 0), CODES[code]
                scored = ("5", "", "5", status, "stop")
                store.append([Sample(f"{persona}{number}", "sums", *sample_id, "", "", *scored, 9, 9, 0, mark=mark)])
    return folder


def make_report(*inputs: Path) -> Path:
    out = inputs[0].parent / "report"
    script.main([*map(str, inputs), "--out", str(out), "--draws", "20"])
    return out


def analysed(out: Path, label: str) -> dict[str, Any]:
    model: dict[str, Any] = json.loads((out / "report.json").read_text())["tasks"]["sums"]["models"][label]
    return model


def table_row(out: Path, heading: str, first: str) -> list[str]:
    """Return the row that begins with ``first``, in the table with the column ``heading``."""
    table = next(text for text in (out / "report.md").read_text().split("\n\n") if f"| {heading} |" in text)
    row = next(line for line in table.splitlines() if line.startswith(f"| {first} |"))
    return row.strip("| ").split(" | ")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_report(write(tmp_path_factory.mktemp("results") / "new", ANSWERS))


def test_strict_numbers_match_those_computed_by_hand(built: Path) -> None:
    strict = analysed(built, "new")["strict"]
    assert strict.pop("worst") == {"persona": "poet", "accuracy": 0.25}
    assert strict.pop("best") == {"persona": "chef", "accuracy": 0.75}
    assert strict == pytest.approx({"mean": 0.5, "pss_ratio_of_means": 1 / 3, "parsers_share": 1 / 3})
    (row,) = rows(built / "summary.csv")
    assert (row["worst_persona"], row["strict_worst_persona"], row["strict_best_persona"]) == ("lawyer", "poet", "chef")
    expected = {"strict_worst": 0.25, "strict_best": 0.75, "strict_mean": 0.5, "strict_pss_ratio_of_means": 1 / 3}
    assert {name: float(row[name]) for name in expected} == pytest.approx(expected)
    assert float(row["mean"]) - float(row["strict_mean"]) == pytest.approx(float(row["parsers_share"]))


def test_every_persona_and_the_control_have_strict_numbers(built: Path) -> None:
    found = {row["persona"]: row for row in rows(built / "personas.csv")}
    columns = ("accuracy", "strict_accuracy", "parsers_share", "mark_boxed", "mark_hash", "mark_phrase")
    assert {persona: tuple(float(row[name]) for name in columns) for persona, row in found.items()} == {
        "chef": (1, 0.75, 0.25, 0.5, 0.25, 0.25),
        "poet": (1, 0.25, 0.75, 0.25, 0, 0.75),
        "lawyer": (0.5, 0.5, 0, 0.75, 0, 0),  # a box that is wrong has a mark too
        "no_persona": (0.75, 0.25, 0.5, 0.25, 0, 0.5),
    }
    model = analysed(built, "new")
    assert model["personas"][2]["marks"] == {"boxed": 0.75}
    assert model["no_persona"]["marks"] == {"boxed": 0.25, "phrase": 0.5}


def test_strict_numbers_stand_beside_lenient_ones(built: Path) -> None:
    assert table_row(built, "strict mean (%)", "new") == [
        *("new", "83.3", "50.0", "33.3"),
        *("50.0 (lawyer)", "25.0 (poet)", "100.0 (chef)", "75.0 (chef)", "0.500", "0.333"),
    ]
    assert table_row(built, "strict (%)", "poet")[:4] == ["poet", "100.0", "25.0", "75.0"]
    assert table_row(built, "strict (%)", "no\\_persona")[:4] == ["no\\_persona", "75.0", "25.0", "50.0"]
    shown = "".join(Page((built / "report.html").read_text(encoding="utf-8")).text)
    for text in ("strict mean (%)", "parser's share (points)", "25.0 (poet)", "marked by a closed box or ####"):
        assert text in shown


@pytest.mark.parametrize("answers", [OLD, {**ANSWERS, "no_persona": "pp?-"}], ids=["old", "one_unknown"])
def test_without_marks_of_all_correct_completions_strict_numbers_are_omitted(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    out = make_report(write(tmp_path / "old", answers))
    model = analysed(out, "old")
    assert model["strict"] is None
    assert model["pss_ratio_of_means"] == 0.5
    strict_keys = ("strict_accuracy", "parsers_share", "marks")
    assert {persona[name] for persona in model["personas"] for name in strict_keys} == {None}
    (row,) = rows(out / "summary.csv")
    assert row["strict_worst"] == row["strict_mean"] == row["strict_pss_ratio_of_means"] == row["parsers_share"] == ""
    for row in rows(out / "personas.csv"):
        assert row["strict_accuracy"] == row["parsers_share"] == ""
        assert not [name for name in row if name.startswith("mark_")]
    headings = [line for line in (out / "report.md").read_text().splitlines() if line.startswith("| ")]
    assert not [line for line in headings if "strict" in line or "parser" in line]


def test_an_incorrect_completion_needs_no_mark(tmp_path: Path) -> None:
    """Negative control of the test above."""
    out = make_report(write(tmp_path / "new", {**ANSWERS, "lawyer": "bby-"}))
    assert analysed(out, "new")["strict"]["mean"] == 0.5


def test_a_model_without_marks_is_shown_as_not_recorded(tmp_path: Path) -> None:
    (tmp_path / "sums.csv").write_text("persona,theirs\nchef,80\npoet,60\n")
    out = make_report(write(tmp_path / "new", ANSWERS), write(tmp_path / "old", OLD), tmp_path / "sums.csv")
    assert table_row(out, "strict mean (%)", "new")[2] == "50.0"
    cells = table_row(out, "strict mean (%)", "old")
    assert [cells[column] for column in (1, 4, 6, 8)] == ["83.3", "50.0 (lawyer)", "100.0 (chef)", "0.500"]
    assert {cells[column] for column in (2, 3, 5, 7, 9)} == {"not recorded"}
    theirs = table_row(out, "strict mean (%)", "theirs")
    assert theirs[1] == "70.0"
    assert len({theirs[column] for column in (2, 3, 5, 7, 9)}) == 1
    assert theirs[2].startswith("refused")
    marks = {(row["model"], row["persona"]): row["mark_phrase"] for row in rows(out / "personas.csv")}
    assert (marks["new", "poet"], marks["new", "lawyer"], marks["old", "poet"]) == ("0.75", "0.0", "")


def test_without_strictly_correct_completions_there_is_no_strict_pss(tmp_path: Path) -> None:
    out = make_report(write(tmp_path / "new", {"chef": "pppp", "poet": "pp--"}))
    strict = analysed(out, "new")["strict"]
    assert (strict["mean"], strict["pss_ratio_of_means"], strict["parsers_share"]) == (0, None, 0.75)
    assert table_row(out, "strict mean (%)", "new")[-2:] == ["0.500", "\N{EN DASH}"]
