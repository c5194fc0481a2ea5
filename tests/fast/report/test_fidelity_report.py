"""Tests of reports with accuracy, PSS and PersonaGym's fidelity scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import report as report_command
from permix_verl.fidelity.personagym.analysis import analyse_fidelity
from permix_verl.fidelity.personagym.analysis_types import PairedScores
from permix_verl.fidelity.personagym.scores import read_fidelity
from permix_verl.inference.judges.store import FidelityStore
from permix_verl.paper.settings import PaperSettings, results_folder
from permix_verl.paper.tables import BASE, PERMIX

from ...integration.paper.test_commands import judge_everything, settings, write_results  # noqa: F401


@pytest.fixture
def folders(settings: PaperSettings) -> list[Path]:  # noqa: F811
    """Two models with accuracies and judgements: scores 3 and 4, consistency one lower under the first persona."""
    for key, right, score in (("base", 10, 3), ("permix", 18, 4)):
        write_results(settings, key, right)
        judge_everything(settings, key, score)
    return [results_folder(method, settings) for method in (BASE, PERMIX)]


def written(folders: list[Path], out: Path) -> str:
    report_command.main([*map(str, folders), "--out", str(out), "--draws", "20"])
    return (out / "report.md").read_text()


def test_robustness_and_fidelity_share_one_table_and_one_figure(folders: list[Path], tmp_path: Path) -> None:
    text = written(folders, tmp_path / "report")
    section = text.split("## Robustness and fidelity")[1].split("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith(("| base-seed0", "| permix-seed0"))]
    assert [row.split(" | ")[1:4] for row in rows] == [["gsm8k", "45.0", "49.7"], ["gsm8k", "85.0", "89.7"]]
    assert "2.89" in rows[0]
    assert "3.89" in rows[1]
    page = (tmp_path / "report" / "report.html").read_text()
    assert page.count('aria-label="Robustness against fidelity"') == 1
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids))


def test_every_fidelity_number_is_in_json_and_csv(folders: list[Path], tmp_path: Path) -> None:
    written(folders, tmp_path / "report")
    fidelity = json.loads((tmp_path / "report" / "report.json").read_text())["fidelity"]
    (pair,) = fidelity["pairs"]
    consistency = pair["scorings"]["fixed"]["tasks"]["Persona Consistency"]
    assert consistency["difference"]["estimate"] == -1
    assert consistency["p_value"] == 2 / 2**9, "all nine differences have one sign"
    lines = (tmp_path / "report" / "fidelity.csv").read_text().splitlines()
    assert lines[0].startswith("scoring,model,judge,task,score,score_low,score_high,score_refused")
    assert len(lines) == 1 + 2 * 2 * 6, "two models, all judges and one, five tasks and the total"


def test_a_folder_with_only_judgements_has_a_report(folders: list[Path], tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (folders[0] / "personagym").rename(alone / "personagym")
    text = written([alone], tmp_path / "report")
    assert "## Persona fidelity" in text
    assert "## Robustness and fidelity" not in text
    assert "| alone | m | 45 | 0 | 0 | x" in text


def test_without_judgements_the_report_does_not_mention_fidelity(folders: list[Path], tmp_path: Path) -> None:
    for folder in folders:
        (folder / "personagym" / "settings.json").unlink()
    text = written(folders, tmp_path / "report")
    assert "fidelity" not in text.lower()
    assert not (tmp_path / "report" / "fidelity.csv").exists()


def test_models_with_other_questions_or_judges_are_not_compared(folders: list[Path]) -> None:
    first, second = map(read_fidelity, folders)
    other = replace(second, questions="1")
    (pair,) = analyse_fidelity([first, other]).pairs
    assert pair.scorings["fixed"] == PairedScores(refused="other questions")
    scored = second.scorings["fixed"]
    changed = replace(second, scorings={"fixed": replace(scored, judge_identities={"j": {"model": "another"}})})
    (pair,) = analyse_fidelity([first, changed]).pairs
    assert pair.scorings["fixed"].refused == "no judge in common"
    with pytest.raises(UserError, match="two results folders are named"):
        analyse_fidelity([first, first])


def test_an_unreadable_line_is_named(folders: list[Path]) -> None:
    file = FidelityStore(folders[0]).judgements.file
    file.write_text(file.read_text() + '{"key": "x"}\n')
    with pytest.raises(UserError, match=r"judgements\.jsonl, line 46: not a judgement .* asks for it again"):
        read_fidelity(folders[0])


def test_models_without_a_persona_in_common_are_not_compared(folders: list[Path]) -> None:
    first, second = map(read_fidelity, folders)
    for other, reason in (
        (replace(second, roles=dict.fromkeys(second.roles, "You are somebody else.")), "no persona and task in common"),
        (replace(second, sampling={"temperature": 0}), "other sampling settings"),
    ):
        (pair,) = analyse_fidelity([first, other]).pairs
        assert reason in (pair.scorings["fixed"].refused or "")


def test_accuracies_and_judgements_of_two_models_are_not_joined(folders: list[Path], tmp_path: Path) -> None:
    file = folders[0] / "settings.json"
    file.write_text(file.read_text().replace('"name": "m"', '"name": "another"'))
    with pytest.raises(UserError, match=r"holds accuracies of model .* and judgements of"):
        written(folders, tmp_path / "report")
