"""Accuracy by category of persona: stored with the results, analysed, and in every export."""

import json
from pathlib import Path

import numpy as np
import pytest

from permix_verl import load_pool, report
from permix_verl.evaluation.category_analysis import UNKNOWN, persona_categories
from permix_verl.evaluation.results import load_results
from permix_verl.evaluation.sample_store import SampleStore
from permix_verl.report import analyse_inputs
from permix_verl.statistics import cluster_interval, cross_fitted_worst

from ...support.report_checks import ODD_PERSONA, PERSONAS, check_latex, rows, write_results

CATEGORIES = dict(zip(PERSONAS, ("STEM", "Education", "Odd & <b>_", "Jobs", "STEM"), strict=True))


def with_categories(folder: Path, categories: dict[str, str]) -> Path:
    file = folder / "settings.json"
    settings = json.loads(file.read_text())
    settings["wanted"]["arith"]["categories"] = categories
    file.write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("results")
    return with_categories(write_results(base / "model", terrible=4, seed=3), CATEGORIES)


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out")
    report.make_report([folder], out, resamples=50)
    return out


def test_the_figures_are_those_of_the_categorys_personas(folder: Path) -> None:
    (result,) = load_results(folder)
    found = analyse_inputs([folder], resamples=50).accuracy.tasks["arith"].models["model"].categories
    assert [(one.category, one.personas) for one in found] == [
        ("STEM", ("expert", "poet")),
        ("Education", ("kindergarten",)),
        ("Odd & <b>_", (ODD_PERSONA,)),
        ("Jobs", ("lawyer",)),
    ]
    stem, education = found[0], found[1]
    correct = result.correct_PRN[[0, 4]]
    interval = cluster_interval(correct.mean(axis=(0, 1)), "")
    assert (stem.mean.estimate, stem.mean.low, stem.mean.high) == (interval.estimate, interval.low, interval.high)
    assert "averaged over the 2 personas of category STEM" in stem.mean.estimand
    assert stem.worst.persona == "poet"
    assert stem.worst.accuracy == pytest.approx(float(correct[1].mean()))
    assert stem.cross_fitted_worst is not None
    assert stem.cross_fitted_worst.estimate == cross_fitted_worst(correct, seed=0).estimate
    assert education.cross_fitted_worst is None
    assert education.mean.estimate == pytest.approx(float(np.mean(result.correct_PRN[1])))


def test_every_export_has_the_categories(built: Path) -> None:
    assert {file.name for file in built.iterdir()} == {*report.FILES, *report.CATEGORY_FILES}
    found = {row["category"]: row for row in rows(built / "categories.csv")}
    assert list(found) == ["STEM", "Education", "Odd & <b>_", "Jobs"]
    assert (found["STEM"]["personas"], found["STEM"]["worst_persona"]) == ("2", "poet")
    assert float(found["STEM"]["mean_low"]) < float(found["STEM"]["mean"]) < float(found["STEM"]["mean_high"])
    assert found["Jobs"]["cross_fitted_worst"] == ""
    content = json.loads((built / "report.json").read_text())
    assert [one["category"] for one in content["tasks"]["arith"]["models"]["model"]["categories"]] == list(found)
    markdown = (built / "report.md").read_text()
    assert "### By category of persona" in markdown
    assert "they do not cover other personas of the category" in markdown
    assert "Odd &amp; &lt;b&gt;_" in (built / "report.html").read_text()
    latex = (built / "categories.tex").read_text()
    check_latex(latex, columns=4, start="% Means over a category's personas", rule="3-4")
    assert r"Odd \& \textless{}b\textgreater{}\_ & model & " in latex


def test_a_folder_without_categories_has_no_such_table(tmp_path: Path) -> None:
    report.make_report([write_results(tmp_path / "model", None, seed=1)], tmp_path / "out", resamples=50)
    assert {file.name for file in (tmp_path / "out").iterdir()} == set(report.FILES)
    assert "By category" not in (tmp_path / "out" / "report.md").read_text()


def test_older_folders_are_looked_up_in_the_packaged_pools() -> None:
    keys = load_pool("eval").keys
    assert persona_categories(keys, {}) == load_pool("eval").categories()
    assert persona_categories(("math expert", "my own"), {}) == {"math expert": "STEM Expert", "my own": UNKNOWN}
    assert persona_categories(PERSONAS, {}) == dict.fromkeys(PERSONAS, UNKNOWN), "two keys of five say little"


def test_a_stored_category_counts_more_than_the_packaged_one() -> None:
    stored = {"math expert": "Mine", "lawyer": ""}
    assert persona_categories(("math expert", "lawyer"), stored) == {"math expert": "Mine", "lawyer": UNKNOWN}


def test_the_settings_keep_the_categories_of_all_calls(tmp_path: Path) -> None:
    folder = write_results(tmp_path / "model", None, seed=1)
    store = SampleStore(folder)
    settings = {name: store.settings()[name] for name in ("model", "adapter", "tasks")}
    store.begin(settings, {"arith": {"arms": ["expert"], "runs": 1, "categories": {"expert": "STEM"}}})
    store.begin(settings, {"arith": {"arms": ["lawyer"], "runs": 1, "categories": {"lawyer": "Jobs"}}})
    wanted = store.settings()["wanted"]["arith"]
    assert wanted["categories"] == {"expert": "STEM", "lawyer": "Jobs"}
    assert wanted["arms"] == [*PERSONAS, "no_persona"]


def test_a_csv_of_accuracies_has_means_by_category_without_intervals(tmp_path: Path) -> None:
    file = tmp_path / "math.csv"
    file.write_text("persona,category,a,b\nx,STEM,80,60\ny,Jobs,40,20\nz,STEM,60,50\nno_persona,,70,70\n")
    (model, _) = analyse_inputs([file]).accuracy.tasks["math"].models.values()
    stem, jobs = model.categories
    assert (stem.category, stem.mean.estimate, stem.worst.persona, stem.worst.accuracy) == ("STEM", 0.7, "z", 0.6)
    assert stem.mean.refused == "no answers to single problems in a CSV"
    assert (jobs.category, jobs.cross_fitted_worst) == ("Jobs", None)
