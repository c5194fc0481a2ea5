"""Results folders of the base and of methods, read and compared; problems are paired by id, not by position."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from permix_verl.cli import lab
from permix_verl.errors import UserError
from permix_verl.evaluation.sample_store import Sample, SampleStore
from permix_verl.lab.study import analyse_study, read_study
from permix_verl.lab.styles import style_of, styled_completion
from permix_verl.personas.pool import NO_PERSONA

PERSONAS, RUNS, PROBLEMS = ("chef", "dumb", "teacher", "anxious"), 2, 40
RIGHT = {"worked": 0.95, "blurted": 0.3}


def write(
    folder: Path, hasty: float, seed: int, voice: bool = True, problems: int = PROBLEMS, control: bool = False
) -> Path:
    """Results of a model that blurts ``hasty`` times as often as the lab's base."""
    rng = random.Random(seed)
    store = SampleStore(folder)
    rows = []
    methods = [*PERSONAS, NO_PERSONA] if control else list(PERSONAS)
    for persona in methods:
        for problem in range(problems):
            for run in range(RUNS):
                style = replace(style_of(persona), blurt=hasty * style_of(persona).blurt)
                text = styled_completion("2+3=5.", "5", style if voice else replace(style, opening="", closing=""), rng)
                status = "correct" if rng.random() < RIGHT["worked" if "=" in text else "blurted"] else "wrong"
                key = f"{persona} {problem} {run}"
                rows.append(
                    Sample(
                        key, "lab_easy", persona, f"p{problem}", run, "", "", "5", text, "5", status, "stop", 9, 9, 0
                    )
                )
    rng.shuffle(rows)  # completions arrive in any order
    with store.writing():
        settings = {"model": {"name": folder.name}, "adapter": None, "tasks": {"lab_easy": {"problems": problems}}}
        store.begin(settings, {"lab_easy": {"arms": methods, "runs": RUNS}})
        store.append(rows)
    return folder


def test_methods_are_compared(tmp_path: Path) -> None:
    base = write(tmp_path / "base", 1, 0)
    methods = {
        "RLVR": [write(tmp_path / f"rlvr{seed}", 0.5, 10 + seed, voice=False) for seed in range(3)],
        "PerMix-RLVR": [write(tmp_path / f"permix{seed}", 0.05, 20 + seed) for seed in range(3)],
    }
    analysis = analyse_study(read_study(base, methods))
    task = analysis["tasks"]["lab_easy"]
    assert (task["personas"], task["problems"]) == (list(PERSONAS), PROBLEMS)
    figures = {method: models[0] for method, models in task["arms"].items()}
    assert [len(models) for models in task["arms"].values()] == [1, 3, 3]
    assert figures["base"]["blurted"] > figures["RLVR"]["blurted"] > figures["PerMix-RLVR"]["blurted"]
    assert figures["base"]["pss"] < figures["PerMix-RLVR"]["pss"]
    assert figures["RLVR"]["voice"] == 0
    assert figures["PerMix-RLVR"]["voice"] > 0.8
    assert figures["base"]["no_answer"] == figures["base"]["cut"] == 0
    assert figures["base"]["no_persona"] is None
    assert {claim["quantity"]: claim["seen"] for claim in analysis["claims"] if claim["more"] == "PerMix-RLVR"}[
        "voice"
    ] == "seen"
    theory = task["theory"]["PerMix-RLVR"][0]
    assert theory["refused"] is None
    assert theory["identified"]
    assert max(np.subtract(theory["blurted_predicted_P"], figures["base"]["by_persona"]["blurted"])) <= 0


def test_models_are_compared_on_their_common_samples(tmp_path: Path) -> None:
    base = write(tmp_path / "base", 1, 0)
    other = write(tmp_path / "other", 0.1, 1, problems=30)
    (task,) = read_study(base, {"RLVR": [other]}).values()
    assert len(task.problems) == 30
    assert set(task.problems) == {f"p{number}" for number in range(30)}
    for models in task.methods.values():
        assert models[0].correct_PRN.shape == (len(PERSONAS), RUNS, 30)


def test_a_failed_theory_fit_does_not_affect_the_figures(tmp_path: Path) -> None:
    base = write(tmp_path / "base", 0, 0)  # without blurted answers that style's competence is unknown
    analysis = analyse_study(read_study(base, {"RLVR": [write(tmp_path / "rlvr", 0.5, 1)]}))
    (task,) = analysis["tasks"].values()
    assert "one of the two styles" in task["theory"]["RLVR"][0]["refused"]
    assert task["arms"]["RLVR"][0]["worst"] > 0


def test_accuracy_without_a_persona_is_shown_and_enters_nothing_else(tmp_path: Path) -> None:
    base, without = write(tmp_path / "base", 1, 0, control=True), write(tmp_path / "without", 0.1, 1)
    (task,) = analyse_study(read_study(base, {"RLVR": [without]}))["tasks"].values()
    figures = task["arms"]["base"][0]
    right = [s.status == "correct" for s in SampleStore(base).samples("lab_easy") if s.persona == NO_PERSONA]
    assert figures["no_persona"] == pytest.approx(sum(right) / len(right))
    assert len(figures["by_persona"]["accuracy"]) == len(PERSONAS)


def test_every_array_is_in_the_same_order_in_every_folder(tmp_path: Path) -> None:
    """Answers stored in another order give identical arrays."""
    base = write(tmp_path / "base", 1, 0)
    twin = tmp_path / "twin"
    store = SampleStore(twin)
    samples = list(SampleStore(base).samples("lab_easy"))
    random.Random(1).shuffle(samples)
    with store.writing():
        settings = SampleStore(base).settings()
        store.begin({name: settings[name] for name in ("model", "adapter", "tasks")}, settings["wanted"])
        store.append(samples)
    (task,) = read_study(base, {"twin": [twin]}).values()
    for name in ("correct_PRN", "voice_PRN", "blurted_PRN", "worked_PRN", "truncated_PRN"):
        assert np.array_equal(getattr(task.methods["base"][0], name), getattr(task.methods["twin"][0], name)), name


def test_incomparable_results_are_refused(tmp_path: Path) -> None:
    base = write(tmp_path / "base", 1, 0)
    with pytest.raises(UserError, match="method name 'base' is reserved"):
        read_study(base, {"base": [base]})
    with pytest.raises(UserError, match="is given twice"):
        read_study(base, {"RLVR": [base]})
    with pytest.raises(UserError, match="4 personas and 5 problems in common"):
        read_study(base, {"RLVR": [write(tmp_path / "few", 1, 1, problems=5)]})


def test_the_report_has_the_labs_sections_in_front_and_every_figure_in_json(tmp_path: Path) -> None:
    base = write(tmp_path / "base", 1, 0)
    rlvr = [write(tmp_path / f"rlvr{seed}", 0.5, 10 + seed, voice=False) for seed in range(2)]
    permix = [write(tmp_path / f"permix{seed}", 0.05, 20 + seed) for seed in range(2)]
    arguments = ["--base", str(base), "--out", str(tmp_path / "report"), "--draws", "50"]
    for name, folders in (("RLVR", rlvr), ("PerMix-RLVR", permix)):
        arguments += ["--arm", f"{name}={','.join(map(str, folders))}"]
    lab.main(arguments)
    page = (tmp_path / "report" / "report.html").read_text()
    text = (tmp_path / "report" / "report.md").read_text()
    assert text.index("Claims of the paper") < text.index("The lab: task") < text.index("# Task lab")
    assert "voice kept: PerMix-RLVR above RLVR" in text
    assert 'aria-label="Theory against measurement, task lab_easy"' in page
    study = json.loads((tmp_path / "report" / "lab.json").read_text())
    assert [model["label"] for model in study["tasks"]["lab_easy"]["arms"]["RLVR"]] == ["rlvr0", "rlvr1"]
    voice = study["tasks"]["lab_easy"]["arms"]["PerMix-RLVR"][0]["voice"]
    assert f"{100 * voice:.1f}" in text
    section = text.split("## Robustness and fidelity")[1].split("\n## ")[0]
    assert section.count("| lab\\_easy |") == 5, "the base and two seeds of two arms"
    assert "voice kept (%)" in section
    assert page.count('aria-label="Robustness against fidelity"') == 1


@pytest.mark.parametrize(
    ("methods", "said"),
    [(["RLVR"], "is not NAME=FOLDER,FOLDER"), (["RLVR=a", "RLVR=b"], "a name is given twice")],
)
def test_unreadable_methods_are_named(
    methods: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--base", "x", "--out", str(tmp_path), *(part for method in methods for part in ("--arm", method))]
    with pytest.raises((UserError, SystemExit)) as caught:
        lab.main(arguments)
    assert said in str(caught.value) + capsys.readouterr().err
