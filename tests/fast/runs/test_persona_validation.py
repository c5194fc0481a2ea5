"""Validation by persona: metrics, file, labels, and the choice of the best step."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from permix_verl.checkpoints.best import (
    best_of,
    prune_stash,
    stash_adapter,
    stash_dir,
    stashed_steps,
    validation_gap_warning,
    write_choice,
)
from permix_verl.runs import metrics as m
from permix_verl.runs.folder import RunFolder
from permix_verl.runs.persona_validation import (
    PersonaValidation,
    ValidationPersonas,
    persona_validation,
    persona_validations,
    read_validation_personas,
    write_robustness_csv,
)
from permix_verl.training.observability.curves import plot_curves
from permix_verl.training.progress import Progress


def validation(n: int = 1, **accuracy: float) -> dict[str, float]:
    return {f"val-core/gsm8k/{arm}/acc/mean@{n}": value for arm, value in accuracy.items()}


METRICS: m.Metrics = {
    0: validation(chef=0.2, zen_master=0.4, pilot=0.6, no_persona=0.1),
    1: {m.REWARD: 0.3},
    2: validation(chef=0.5, zen_master=0.25, pilot=0.75, no_persona=0.5) | {m.REWARD: 0.4},
}
HELD_OUT = ValidationPersonas(held_out=frozenset({"chef", "zen_master"}), problems=16)


def test_worst_mean_best_and_pss_leave_out_the_arm_without_a_persona() -> None:
    first, last = persona_validations(METRICS, ValidationPersonas())
    assert (first.step, first.worst, first.worst_persona, first.best_persona) == (0, 0.2, "chef", "pilot")
    assert last.mean == 0.5
    assert last.pss == pytest.approx(0.25 / 0.75)
    assert last.no_persona == 0.5
    assert last.others_mean is None


def test_with_personas_held_out_only_they_count_and_the_others_are_beside() -> None:
    last = persona_validations(METRICS, HELD_OUT)[-1]
    assert (last.worst, last.best, last.pss) == (0.25, 0.5, 0.5)
    assert last.others_mean == 0.75
    assert "the other personas 0.750" in last.sentence()


def test_pss_is_undefined_where_nothing_is_solved(tmp_path: Path) -> None:
    nothing = {4: validation(chef=0.0, pilot=0.0)}
    found = persona_validation(4, nothing[4], ValidationPersonas())
    assert found is not None
    assert found.pss is None
    assert "PSS undefined (nothing solved)" in found.sentence()
    write_robustness_csv(tmp_path / "robustness.csv", nothing, ValidationPersonas())
    assert next(csv.DictReader((tmp_path / "robustness.csv").open()))["pss"] == ""


def test_standard_errors_are_of_the_samples_and_absent_where_their_number_is_not_known() -> None:
    metrics = {2: validation(4, chef=0.5, zen_master=0.25)}
    known = persona_validations(metrics, HELD_OUT)[0]
    assert known.samples == 64
    assert known.record()["best_se"] == pytest.approx((0.5 * 0.5 / 64) ** 0.5)
    unknown = persona_validations(metrics, ValidationPersonas())[0]
    assert unknown.record()["samples"] is unknown.record()["worst_se"] is None


def test_the_file_has_a_row_a_validation_that_a_script_can_read(tmp_path: Path) -> None:
    write_robustness_csv(tmp_path / "robustness.csv", METRICS, HELD_OUT)
    rows = list(csv.DictReader((tmp_path / "robustness.csv").open()))
    assert [row["step"] for row in rows] == ["0", "2"]
    assert [row["held_out"] for row in rows] == ["1", "1"]
    assert rows[1]["worst_persona"] == "zen_master"
    assert float(rows[1]["worst_se"]) == pytest.approx((0.25 * 0.75 / 16) ** 0.5)
    write_robustness_csv(tmp_path / "none.csv", {1: {m.REWARD: 0.3}}, HELD_OUT)
    assert [file.name for file in tmp_path.iterdir()] == ["robustness.csv"]


@pytest.mark.parametrize(
    ("manifest", "label"),
    [
        ({"dev_personas": [], "no_persona_probability": 0.2}, "personas seen in training"),
        ({"no_persona_probability": 1.0}, "no persona was trained on"),
        ({"dev_personas": ["zen master", "chef"]}, "2 personas held out of training"),
        (None, "personas seen in training"),
    ],
)
def test_what_the_personas_are_is_read_from_the_data_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], manifest: dict[str, object] | None, label: str
) -> None:
    folder = RunFolder(tmp_path)
    for path in (folder.data, folder.metrics):
        path.mkdir()
    if manifest is not None:
        (folder.data / "manifest.json").write_text(json.dumps(manifest | {"rows": {"val_problems": 8}}))
    assert read_validation_personas(folder.data).label == label
    progress = Progress(folder, tmp_path / "log", total=3, min_agreement=0.99)
    progress.begin(0)
    (folder.metrics / "1.jsonl").write_text(json.dumps({"step": 2, "data": METRICS[2]}) + "\n")
    progress.update()
    assert f"validation ({label}): mean" in capsys.readouterr().out
    assert folder.robustness_csv.is_file()


def at(step: int, worst: float, mean: float) -> PersonaValidation:
    return PersonaValidation(step, {"chef": worst, "pilot": 2 * mean - worst})


def test_the_best_step_has_the_highest_worst_then_the_highest_mean_then_comes_first() -> None:
    curve = [at(0, 0.9, 0.9), at(2, 0.1 + 0.2, 0.5), at(4, 0.3, 0.6), at(6, 0.3, 0.6), at(8, 0.4, 0.4)]

    def chosen(*steps: int) -> int:
        best = best_of(curve, steps)
        assert best is not None
        return best.step

    assert chosen(2, 4, 6, 8) == 8
    assert chosen(2, 4, 6) == 4, "0.1 + 0.2 is no better than 0.3"
    assert chosen(6, 4) == 4
    assert best_of(curve, [3]) is None, "saved, and not validated"
    assert best_of(curve, []) is None


def save(folder: RunFolder, step: int, text: str) -> Path:
    """Write the files of a checkpoint that are stashed, and one that is not."""
    checkpoint = folder.checkpoints / f"global_step_{step}"
    (checkpoint / "actor").mkdir(parents=True)
    (checkpoint / "actor" / "model_world_size_1_rank_0.pt").write_text(text)
    (checkpoint / "actor" / "optim_world_size_1_rank_0.pt").write_text("large")
    (checkpoint / "actor" / "lora_train_meta.json").write_text("{}")
    (checkpoint / "rollout_log_probs.pt").write_text("record")
    return checkpoint


def log_validation(folder: RunFolder, step: int, worst: float) -> None:
    folder.metrics.mkdir(exist_ok=True)
    with (folder.metrics / "1.jsonl").open("a") as file:
        file.write(json.dumps({"step": step, "data": validation(chef=worst, pilot=0.9)}) + "\n")


def test_the_best_adapter_outlives_its_checkpoint_and_the_others_are_let_go(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for step, worst in ((2, 0.2), (4, 0.6), (6, 0.4), (8, 0.5)):
        checkpoint = save(folder, step, f"weights {step}")
        stash_adapter(folder, checkpoint)
        log_validation(folder, step, worst)
        shutil.rmtree(checkpoint / "actor")  # as verl removes an old one
    assert stashed_steps(folder) == [4, 8], "8 was not validated when it was kept"
    files = {file.name for file in stash_dir(folder, 4).rglob("*") if file.is_file()}
    assert files == {"model_world_size_1_rank_0.pt", "lora_train_meta.json", "rollout_log_probs.pt"}
    assert (stash_dir(folder, 4) / "actor" / "model_world_size_1_rank_0.pt").read_text() == "weights 4"
    prune_stash(folder, [4])
    assert stashed_steps(folder) == [4]


def test_a_step_that_is_saved_again_is_kept_again(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    stash_adapter(folder, save(folder, 2, "first"))
    shutil.rmtree(folder.checkpoints)
    stash_adapter(folder, save(folder, 2, "second"))
    assert (stash_dir(folder, 2) / "actor" / "model_world_size_1_rank_0.pt").read_text() == "second"
    assert [path.name for path in folder.stash.iterdir()] == ["global_step_2"]


def test_a_checkpoint_without_lora_is_not_kept(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    checkpoint = save(folder, 2, "all weights")
    (checkpoint / "actor" / "lora_train_meta.json").unlink()
    stash_adapter(folder, checkpoint)
    assert not folder.stash.exists()


@pytest.mark.parametrize(
    ("save_freq", "test_freq", "said"),
    [
        ("20", "20", None),
        ("40", "20", None),
        ("10", "1000", r"12 steps will be saved \(SAVE_FREQ=10\) and 1 of them validated \(TEST_FREQ=1000: 116\)"),
        ("20", "30", r"and 2 of them validated \(TEST_FREQ=30: 60, 116\); best_adapter is chosen among these"),
        ("20", "-1", r"no step is validated \(TEST_FREQ=-1\)"),
    ],
)
def test_checkpoints_that_are_never_validated_are_said_before_the_run(
    save_freq: str, test_freq: str, said: str | None
) -> None:
    found = validation_gap_warning({"trainer.save_freq": save_freq, "trainer.test_freq": test_freq}, total=116)
    if said is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(said, found)


def test_the_record_of_the_choice_says_how_far_to_trust_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    save(folder, 2, "weights")
    curve = persona_validations(METRICS | {3: METRICS[2]}, HELD_OUT)
    write_choice(folder, curve[1], curve, HELD_OUT, last_step=8)
    record = json.loads(folder.best.read_text())
    assert (record["step"], record["last_step"], record["worst_persona"]) == (2, 8, "zen_master")
    assert record["personas_are"] == "2 personas held out of training"
    assert "too high on average" in record["warning"]
    assert record["before_training"]["worst"] == 0.2
    assert [one["step"] for one in record["compared"]] == [2], "3 was validated, and not saved"


def test_a_validated_run_has_a_wider_figure_and_undefined_pss_is_a_gap_in_it(tmp_path: Path) -> None:
    from PIL import Image

    metrics = METRICS | {4: validation(chef=0.0, zen_master=0.0) | {m.REWARD: 0.0}}
    picture = Image.open(plot_curves(metrics, tmp_path / "curves.png", "x", 0.99, HELD_OUT, best_step=2))
    assert picture.width > 2 * picture.height, "a third column beside the four panels of every run"


def test_equal_personas_are_named_in_the_same_order_whatever_the_metrics_order() -> None:
    accuracy = {"pilot": 1.0, "chef": 1.0, "zen_master": 0.1, "nurse": 0.1, "clerk": 0.7}
    for order in (list(accuracy), sorted(accuracy), sorted(accuracy, reverse=True)):
        validation = PersonaValidation(1, {name: accuracy[name] for name in order})
        assert (validation.best_persona, validation.worst_persona) == ("chef", "nurse")
        assert validation.mean == 0.58
