"""Tests of reports with methods pooled over training seeds: numbers, refusals, and plain folders as before."""

import hashlib
import json
import re
import shutil
import statistics as plain
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from permix_verl import UserError, report
from permix_verl.cli import report as script

from ...support.report_checks import PROBLEMS, check_page, rows, write_results

LAYOUTS = {1: "5b757ba6ac663327", 2: "aa7b26e56a9af0fc"}
"""Digests of reports on one and two plain folders as they were before seeds could be pooled; see :func:`layout`."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("results")
    models = {"base": (1, 1), "permix-0": (None, 2), "permix-1": (None, 3), "rlvr-0": (1, 4), "rlvr-1": (1, 5)}
    return {name: write_results(base / name, terrible, seed, problems=200) for name, (terrible, seed) in models.items()}


@pytest.fixture(scope="module")
def groups(folders: dict[str, Path]) -> list[str]:
    return [
        f"{name}={folders[f'{key}-0']},{folders[f'{key}-1']}" for name, key in (("PerMix", "permix"), ("RLVR", "rlvr"))
    ]


def reported(out: Path, *inputs: object) -> Path:
    script.main([*map(str, inputs), "--out", str(out), "--draws", "20"])
    return out


@pytest.fixture(scope="module")
def built(folders: dict[str, Path], groups: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reported(tmp_path_factory.mktemp("out"), groups[0], folders["base"], groups[1])


def pooled_rows(out: Path) -> dict[tuple[str, str, str], dict[str, str]]:
    return {(row["method"], row["minus"], row["quantity"]): row for row in rows(out / "pooled.csv")}


def test_pooled_figures_are_means_of_the_single_folders(built: Path) -> None:
    assert {file.name for file in built.iterdir()} == {*report.FILES, "pooled.csv"}
    single = {row["model"]: row for row in rows(built / "summary.csv")}
    assert list(single) == ["permix-0", "permix-1", "base", "rlvr-0", "rlvr-1"], "the order of the command line"
    pooled = pooled_rows(built)
    columns = {"worst": "worst", "best": "best", "mean": "mean", "pss": "pss_ratio_of_means"}
    for method, models in (("PerMix", ("permix-0", "permix-1")), ("RLVR", ("rlvr-0", "rlvr-1"))):
        for quantity, column in columns.items():
            row = pooled[method, "", quantity]
            expected = plain.mean(float(single[model][column]) for model in models)
            assert float(row["estimate"]) == pytest.approx(expected)
            assert row["models"] == ", ".join(models)
            if not row["estimate_refused"]:
                assert float(row["estimate_low"]) < expected < float(row["estimate_high"])
    assert "worst persona solves" in pooled["RLVR", "", "pss"]["estimate_refused"]
    for quantity in ("worst", "mean", "pss"):
        difference = float(pooled["PerMix", "", quantity]["estimate"]) - float(pooled["RLVR", "", quantity]["estimate"])
        assert float(pooled["PerMix", "RLVR", quantity]["estimate"]) == pytest.approx(difference)
    assert float(pooled["PerMix", "RLVR", "worst"]["estimate_low"]) > 0
    assert len(pooled) == 2 * 4 + 3


def test_json_markdown_page_and_terminal_have_them(
    built: Path, folders: dict[str, Path], groups: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json.loads((built / "report.json").read_text())["pooled"]["arith"]
    worst = content["methods"]["PerMix"]["worst"]
    row = pooled_rows(built)["PerMix", "", "worst"]
    assert worst["interval"]["low"] == float(row["estimate_low"])
    assert worst["from_seeds"] == float(row["half_from_seeds"])
    assert content["differences"][0]["worst"]["estimate"] > 0.3
    low, high = (f"{100 * worst['interval'][side]:.1f}" for side in ("low", "high"))
    shown = f"{100 * worst['interval']['estimate']:.1f}"
    markdown, page = ((built / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    assert "| PerMix | 2 | worst (%) | " in markdown
    assert rf"| {shown} | \[{low}, {high}\] |" in markdown
    assert f"[{low}, {high}]" in page
    check_page(page, figures=6)
    for text in ("Pooled over training seeds", "PerMix minus RLVR", "permix-0, permix-1", "seeds are not paired"):
        assert text in markdown
        assert text in page
    reported(tmp_path, *groups)
    assert f"{shown} [{low}, {high}]" in capsys.readouterr().out


def test_groups_only_add_to_the_report_of_their_folders(built: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    """Byte for byte, in all six files."""
    order = ("permix-0", "permix-1", "base", "rlvr-0", "rlvr-1")
    out = reported(tmp_path, *(folders[name] for name in order))
    assert not (out / "pooled.csv").exists()
    for name in ("summary.csv", "personas.csv", "table2.tex"):
        assert (out / name).read_bytes() == (built / name).read_bytes(), name
    content = json.loads((built / "report.json").read_text())
    assert content.pop("pooled")
    assert (out / "report.json").read_text() == json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    text = (built / "report.md").read_text().replace(" Methods pooled over training seeds are in pooled.csv too.", "")
    text = re.sub(r"### Pooled over training seeds\n.*?(?=### )", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\*\*Pooled over training seeds\.\*\* .*\n", "", text)
    assert (out / "report.md").read_text() == text
    for name in report.FILES:
        assert "ooled" not in (out / name).read_text(), name


def layout(out: Path) -> str:
    """Digest a report's six files without figures, with "#" for numbers: their last digits differ between machines."""
    text = "\n".join((out / name).read_text(encoding="utf-8") for name in report.FILES)
    text = re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    return hashlib.sha256(re.sub(r"\d+(\.\d+)?(e-\d+)?", "#", text).encode()).hexdigest()[:16]


def test_reports_of_plain_folders_have_the_text_they_had_before(tmp_path: Path) -> None:
    plain_folders = [write_results(tmp_path / "steady", None, 4), write_results(tmp_path / "terrible", 1, 5)]
    for number, digest in LAYOUTS.items():
        out = reported(tmp_path / f"out-{number}", *plain_folders[:number])
        assert layout(out) == digest, "if the report's text was changed on purpose, change the digest"
    grouped = reported(tmp_path / "grouped", f"both={plain_folders[0]},{plain_folders[1]}")
    assert layout(grouped) not in LAYOUTS.values(), "negative control"


def test_the_same_input_gives_the_same_bytes_and_another_seed_other_limits(
    built: Path, folders: dict[str, Path], groups: list[str], tmp_path: Path
) -> None:
    inputs = (groups[0], folders["base"], groups[1])
    again = reported(tmp_path / "again", *inputs)
    assert (again / "pooled.csv").read_bytes() == (built / "pooled.csv").read_bytes()
    script.main([*map(str, inputs), "--out", str(tmp_path / "other"), "--draws", "20", "--seed", "1"])
    key = "PerMix", "", "worst"
    first, other = (pooled_rows(out)[key] for out in (built, tmp_path / "other"))
    assert first["estimate"] == other["estimate"]
    assert first["estimate_low"] != other["estimate_low"]


def test_a_single_training_seed_has_no_interval(folders: dict[str, Path], tmp_path: Path) -> None:
    out = reported(tmp_path, f"PerMix={folders['permix-0']}")
    for row in rows(out / "pooled.csv"):
        assert row["estimate_refused"] == "1 training seed; at least 2 are needed"
        assert row["estimate"]
        assert row["estimate_low"] == row["half_from_seeds"] == ""
    assert "refused (a)" in (out / "report.md").read_text()


def changed(folder: Path, to: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Path:
    """Copy a results folder with every sample changed, or left out if ``change`` returns ``None``."""
    shutil.copytree(folder, to)
    file = to / "samples" / "arith.jsonl"
    samples = [change(json.loads(line)) for line in file.read_text().splitlines()]
    kept = [sample for sample in samples if sample is not None]
    file.write_text("".join(json.dumps(sample) + "\n" for sample in kept))
    settings = json.loads((to / "settings.json").read_text())
    personas = list(dict.fromkeys(sample["persona"] for sample in kept))
    settings["wanted"]["arith"] = {"arms": personas, "runs": 1 + max(sample["run"] for sample in kept)}
    settings["tasks"]["arith"]["problems"] = len({sample["problem"] for sample in kept})
    (to / "settings.json").write_text(json.dumps(settings))
    return to


def refused(*arguments: object) -> str:
    with pytest.raises(UserError) as caught:
        script.main([str(argument) for argument in arguments])
    assert caught.value.remedy
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row if int(row["problem"].split("/")[1]) < 25 else None, "has 30 whole problems and other 25"),
        (
            lambda row: row | {"problem": f"{row['problem']}0"},
            "first has 30 whole problems and other 30, of which 2 are the same",
        ),
        (lambda row: row | {"gold": "2"}, "30 of 30 problems have another gold answer"),
        (lambda row: row if row["persona"] != "poet" else None, "has 5 personas and 3 runs, other 4 and 3"),
        (lambda row: row | {"persona": row["persona"].replace("poet", "bard")}, "5 and 3, or other personas"),
        (lambda row: row if row["run"] < 2 else None, "has 5 personas and 3 runs, other 5 and 2"),
        (lambda row: row, "are right and wrong in the same 450 samples"),
    ],
    ids=["limit", "problems", "golds", "persona", "personas", "runs", "copy"],
)
def test_models_of_one_method_that_were_evaluated_differently_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None], message: str
) -> None:
    first = write_results(tmp_path / "first", None, 1)
    other = changed(first, tmp_path / "other", change)
    text = refused(f"PerMix={first},{other}", "--out", tmp_path / "out", "--draws", "20")
    assert message in text
    assert text.startswith("PerMix, task arith: first")
    assert not (tmp_path / "out").exists()


def test_two_methods_on_other_problems_are_not_compared(folders: dict[str, Path], tmp_path: Path) -> None:
    fewer = [write_results(tmp_path / f"fewer-{number}", None, number) for number in (7, 8)]
    out = reported(
        tmp_path / "out",
        f"PerMix={folders['permix-0']},{folders['permix-1']}",
        f"RLVR={fewer[0]},{fewer[1]}",
    )
    reason = "the two methods have other problems or personas"
    assert pooled_rows(out)["PerMix", "RLVR", ""]["estimate_refused"] == reason
    assert f"refused: {reason}" in (out / "report.md").read_text()
    assert pooled_rows(out)["RLVR", "", "mean"]["problems"] == str(PROBLEMS)


def test_invalid_groups_are_refused(folders: dict[str, Path], groups: list[str], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    one = folders["permix-0"]
    assert "two groups are named PerMix" in refused(groups[0], f"PerMix={folders['rlvr-0']}", *out)
    assert "no such file or folder" in refused(f"PerMix={one},{tmp_path / 'nothing'}", *out)
    assert "are named permix-0" in refused(groups[0], one, *out)
    (tmp_path / "table.csv").write_text("persona,a\nx,1\n")
    assert "table.csv is a file" in refused(f"PerMix={one},{tmp_path / 'table.csv'}", *out)
    for text in (f"={one}", "PerMix=", "PerMix=,"):
        with pytest.raises(SystemExit):
            script.main([text, *map(str, out)])


def test_a_group_needs_every_task_of_its_folders(folders: dict[str, Path], tmp_path: Path) -> None:
    renamed = shutil.copytree(folders["permix-1"], tmp_path / "renamed")
    (renamed / "samples" / "arith.jsonl").rename(renamed / "samples" / "sums.jsonl")
    for file in (renamed / "settings.json", renamed / "samples" / "sums.jsonl"):
        file.write_text(file.read_text().replace('"arith"', '"sums"'))
    text = refused(f"PerMix={folders['permix-0']},{renamed}", "--out", tmp_path / "out")
    assert "results folder renamed has no task arith, which permix-0 has" in text


def test_a_folder_with_an_equals_sign_in_its_name_is_a_folder(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "lr=1e-5", None, 1)
    out = reported(tmp_path / "out", folder)
    assert [row["model"] for row in rows(out / "summary.csv")] == ["lr=1e-5"]
    assert not (out / "pooled.csv").exists()
