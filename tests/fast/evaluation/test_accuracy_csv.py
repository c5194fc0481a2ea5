"""Accuracies from CSV files: the paper's printed PSS come back from its printed cells, and bad files are refused."""

import csv
from pathlib import Path

import numpy as np
import pytest

from permix_verl import UserError, load_pool
from permix_verl.evaluation.accuracy_csv import AccuracyTable, read_accuracies

TABLES = Path(__file__).resolve().parents[3] / "docs" / "paper_tables"
PRINTED = ("table8_math500", "table9_aime24")
ROUNDING = 0.5e-4 + 1e-9  # PSS is printed with four digits
KNOWN_MISMATCHES: dict[tuple[str, str], float] = {}  # (table, model): recomputed PSS; the paper's tables have none


def recomputed_pss(table: AccuracyTable) -> dict[str, float]:
    ratio = table.accuracy_PM.min(axis=0) / table.accuracy_PM.max(axis=0)
    return dict(zip(table.models, ratio.tolist(), strict=True))


def printed_pss(name: str) -> dict[str, float]:
    with (TABLES / f"{name}_pss.csv").open(encoding="utf-8", newline="") as file:
        return {row["model"]: float(row["pss"]) for row in csv.DictReader(file)}


def mismatches(file: Path, name: str) -> dict[tuple[str, str], float]:
    """Models whose PSS from the cells is not the printed one, with what comes out."""
    printed, recomputed = printed_pss(name), recomputed_pss(read_accuracies(file))
    assert set(printed) == set(recomputed)
    return {(name, model): recomputed[model] for model in printed if abs(recomputed[model] - printed[model]) > ROUNDING}


def test_all_24_printed_pss_come_back_from_the_printed_accuracies() -> None:
    found = {key: pss for name in PRINTED for key, pss in mismatches(TABLES / f"{name}.csv", name).items()}
    assert found == pytest.approx(KNOWN_MISMATCHES)
    assert sum(len(printed_pss(name)) for name in PRINTED) == 24


@pytest.mark.parametrize("name", PRINTED)
def test_the_papers_tables_have_the_packaged_personas_in_order(name: str) -> None:
    table, pool = read_accuracies(TABLES / f"{name}.csv"), load_pool("eval")
    assert table.task == name
    assert table.personas == pool.keys
    assert table.accuracy_PM.shape == (16, 12)
    assert table.no_persona_M is None
    with (TABLES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        categories = [row["category"] for row in csv.DictReader(file)]
    assert categories == [persona.category for persona in pool]


def test_one_changed_worst_cell_is_seen(tmp_path: Path) -> None:
    """Negative control of the check above: 49.56 is gemma-3-4b's worst on MATH500."""
    text = (TABLES / "table8_math500.csv").read_text(encoding="utf-8")
    assert text.count("49.56") == 1
    (tmp_path / "changed.csv").write_text(text.replace("49.56", "49.65"), encoding="utf-8")
    changed = mismatches(tmp_path / "changed.csv", "table8_math500")
    assert changed == pytest.approx({("table8_math500", "google/gemma-3-4b-it"): 49.65 / 70.40})


def test_tables_2_and_3_are_another_formula_on_math500() -> None:
    """On GSM8K PSS is worst over best, on MATH500 it lies below in all rows (the README says so)."""
    with (TABLES / "table2_3.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    gap: dict[str, list[float]] = {"gsm8k": [], "math500": []}
    for row in rows:
        assert float(row["worst"]) <= float(row["mean"]) <= float(row["best"])
        gap[row["task"]].append(float(row["worst"]) / float(row["best"]) - float(row["pss"]))
    assert len(gap["gsm8k"]) == len(gap["math500"]) == 12
    assert max(map(abs, gap["gsm8k"])) < 0.0015  # one decimal of worst and best
    assert 0.002 < min(gap["math500"]) < max(gap["math500"]) < 0.055


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "given.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


@pytest.mark.parametrize(("values", "expected"), [(("79.5", "0.5"), (0.795, 0.005)), (("0.795", "1"), (0.795, 1.0))])
def test_one_value_above_1_makes_the_whole_file_percent(
    tmp_path: Path, values: tuple[str, str], expected: tuple[float, float]
) -> None:
    table = read_accuracies(write(tmp_path, f"persona,m\nchef,{values[0]}\npilot,{values[1]}\n"))
    assert table.accuracy_PM[:, 0].tolist() == pytest.approx(expected)


def test_the_control_is_kept_apart_and_decides_the_unit_too(tmp_path: Path) -> None:
    table = read_accuracies(write(tmp_path, "persona,m\nchef,0.4\nno_persona,40\npilot,1\n"))
    assert table.personas == ("chef", "pilot")
    assert table.accuracy_PM[:, 0].tolist() == pytest.approx([0.004, 0.01])
    assert table.no_persona_M is not None
    assert table.no_persona_M.tolist() == pytest.approx([0.4])


def test_a_spreadsheets_file_is_read_and_nothing_in_the_table_can_change(tmp_path: Path) -> None:
    text = '\ufeffmodel b, persona ,category,a\r\n\r\n50,"chef, the",,25\r\n60,pilot,Job Roles,30\r\n,,,\r\n'
    table = read_accuracies(write(tmp_path, text))
    assert (table.task, table.models, table.personas) == ("given", ("model b", "a"), ("chef, the", "pilot"))
    np.testing.assert_allclose(table.accuracy_PM, [[0.5, 0.25], [0.6, 0.3]])
    with pytest.raises(ValueError, match="read-only"):
        table.accuracy_PM[0, 0] = 1


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty file": ("", r"given.csv is empty; its first line must name the columns"),
    "no persona column": ("name,m\nchef,1\n", r"line 1: no column 'persona' among 'name', 'm'; name it persona"),
    "semicolons": ("persona;m\nchef;1\n", r"no column 'persona' among 'persona;m'; .*separate columns by commas"),
    "no model column": ("persona,category\nchef,Job\n", r"line 1: no model column; add one"),
    "column without name": ("persona,m,\nchef,1,2\n", r"line 1: column 3 has no name; name its model or remove it"),
    "model twice": ("persona,m,m\nchef,1,2\n", r"line 1: column 'm' appears twice; rename or remove one"),
    "no number": ("persona,m\nchef,1\npilot,79%\n", r"line 3, column 'm': '79%' is not a number; give an accuracy"),
    "empty cell": ("persona,m,n\nchef,1,2\npilot,,2\n", r"line 3, column 'm': empty; fill it"),
    "cell missing": ("persona,m,n\nchef,1,2\npilot,2\n", r"line 3, column 'n': empty; fill it"),
    "empty persona": ("persona,m\nchef,1\n,2\n", r"line 3, column 'persona': empty; fill it"),
    "NaN": ("persona,m\nchef,1\n\npilot,nan\n", r"line 4, column 'm': 'nan' is not an accuracy; give its value"),
    "below 0": ("persona,m\nchef,1\npilot,-0.1\n", r"line 3, column 'm': -0.1 is not between 0 and 100; give percent"),
    "above 100": ("persona,m\nchef,1\npilot,100.5\n", r"line 3, column 'm': 100.5 is not between 0 and 100"),
    "infinite": ("persona,m\nchef,1\npilot,inf\n", r"line 3, column 'm': inf is not between 0 and 100"),
    "persona twice": (
        "persona,m\nchef,1\npilot,2\nchef,3\n",
        r"line 4: persona 'chef' already appears in line 2",
    ),
    "summary row": (
        "persona,m\nchef,1\npilot,2\nPSS,0.5\n",
        r"line 4: 'PSS' is a summary row, .*remove the row",
    ),
    "one persona": (
        "persona,m\nchef,1\nno_persona,2\n",
        r"1 persona\(s\), 'no_persona' not counted; give at least two",
    ),
    "decimal comma": ("persona,m\nchef,79,28\n", r"line 2: 3 cells for 2 columns; write decimals with a point"),
    "open quotes": ('persona,m\n"chef,1\n', r"line 2: not CSV \(.*\); check its quotation marks"),
    "not UTF-8": (
        "persona,m\nchéf,1\n".encode("latin-1"),
        r"given.csv is not UTF-8 \(byte 12\); save it as CSV in UTF-8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused_in_one_line_with_place_and_remedy(tmp_path: Path, name: str) -> None:
    text, message = REFUSED[name]
    with pytest.raises(UserError, match=message) as error:
        read_accuracies(write(tmp_path, text))
    assert "given.csv" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*absent.csv: No such file or directory; give a CSV file"):
        read_accuracies(tmp_path / "absent.csv")
    with pytest.raises(UserError, match="Is a directory; give a CSV file"):
        read_accuracies(tmp_path)
