"""The lab study: its trainings and evaluations, in order. No model is loaded."""

import os
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.cli import lab_study
from permix_verl.config.compose import RunConfig
from permix_verl.lab.base_model import MODEL
from permix_verl.lab.claims import BASE, BASELINE_CLAIMS, CLAIMS
from permix_verl.lab.study_run import STUDY_METHODS
from permix_verl.recipe.resolve import resolve
from permix_verl.recipe.rows import lab_commands, rows_command

from ...support.recorded_commands import CommandRecorder, RecordedCommand, record_commands, run_script


@pytest.fixture(autouse=True)
def recorder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CommandRecorder:
    recorder = record_commands(monkeypatch, "permix_verl.lab.study_run")
    monkeypatch.setenv("OUT", str(tmp_path / "out"))
    monkeypatch.setenv("RUNS_DIR", str(tmp_path / "runs"))
    return recorder


def config_of(training: RecordedCommand) -> RunConfig:
    recipe, *settings = training.arguments
    return resolve(recipe, settings, training.environment)


def test_every_seed_trains_and_evaluates_both_methods_and_all_are_reported(
    recorder: CommandRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEEDS", "2")
    assert lab_study.main(["trainer.test_freq=-1", "LIMIT=50", "RUNS=3"]) == 0
    out, runs = tmp_path / "out", tmp_path / "runs"
    evaluations, trainings = recorder.of("eval"), recorder.of("train")
    assert [call.option("--out") for call in evaluations] == [
        str(out / name) for name in ("base", "rlvr-seed0", "permix-seed0", "rlvr-seed1", "permix-seed1")
    ]
    for call in evaluations:
        asked = ("--tasks", "--limit", "--runs", "--temperature", "--top-p", "--model")
        assert [call.option(name) for name in asked] == ["lab_easy,lab_hard", "50", "3", "1", "1", str(MODEL)]
    assert "--adapter" not in evaluations[0].arguments
    assert evaluations[4].option("--adapter") == str(runs / "permix-lab-seed1" / "adapter")
    assert [call.arguments for call in trainings] == [
        (f"{method}_grpo", f"SEED={seed}", f"RUN_DIR={runs}/{method}-lab-seed{seed}", "LAB=1", "trainer.test_freq=-1")
        for seed in (0, 1)
        for method in ("rlvr", "permix")
    ]
    (report,) = recorder.of("lab")
    assert report is recorder.calls[-1]
    assert report.arguments == (
        *("--base", f"{out}/base"),
        *("--arm", f"RLVR={out}/rlvr-seed0,{out}/rlvr-seed1"),
        *("--arm", f"PerMix-RLVR={out}/permix-seed0,{out}/permix-seed1"),
        *("--out", f"{out}/report"),
    )
    steps = [f"{name}, seed {n} of 2: {what}" for n in (0, 1) for name in ("rlvr", "permix") for what in _WHAT]
    progress = "".join(f"\n== {step}\n" for step in ("base model: evaluation", *steps, "report"))
    assert capsys.readouterr().out == progress


_WHAT = ("training", "evaluation")


def test_all_methods_train_on_the_same_rows_and_have_the_papers_names(
    recorder: CommandRecorder, tmp_path: Path
) -> None:
    assert lab_study.main(["actor_rollout_ref.rollout.n=4", "METHODS=all"]) == 0
    trainings = recorder.of("train")
    configs = [config_of(call) for call in trainings]
    runs = tmp_path / "runs"
    assert [config["permix.run_dir"] for config in configs] == [str(runs / f"{key}-lab-seed0") for key in STUDY_METHODS]
    assert [config.trainer for config in configs] == ["grpo"] * 2 + ["sft"] * 5
    overridden = ["actor_rollout_ref.rollout.n=4" in call.arguments for call in trainings]
    assert overridden == [True] * 2 + [False] * 5, "overrides are for the RL methods"
    prepared = [RecordedCommand("", tuple(rows_command(config)), {}) for config in configs]
    for name in ("--data", "--val-problems", "--max-prompt-length", "--personas", "--seed"):
        assert len({call.option(name) for call in prepared}) == 1, f"the same {name} in all methods"
    assert prepared[0].option("--data") == f"{runs / 'lab-easy-584.jsonl'},name=lab"
    generated = {tuple(lab_commands(config)[0][3:]) for config in configs}
    (generation,) = generated
    assert generation[-4:] == ("--count", "584", "--out", str(runs / "lab-easy-584.jsonl"))
    assert ["--no-persona" in call.arguments for call in prepared] == [True, False, True, False, False, True, False]
    supervised = prepared[2:]
    assert [call.option("--target") for call in supervised] == ["gt", "gt", "styled", "teacher", "teacher"]
    teacher = str(MODEL.with_name("teacher"))
    assert [call.option("--engine-model") for call in supervised[2:]] == ["lab", teacher, teacher]
    names = ("RLVR", "PerMix-RLVR", "SFT", "PerMix-SFT", "PerMix-SFT (styled)", "SeqKD", "SeqKD (persona)")
    for key, name in zip(STUDY_METHODS, names, strict=True):
        assert f"{name}={tmp_path}/out/{key}-seed0" in recorder.calls[-1].arguments


@pytest.mark.parametrize("by", ["environment", "arguments"])
def test_training_knobs_reach_the_trainings_only(
    recorder: CommandRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    knobs = {"KL": "0.5", "LAB_PROBLEMS": "88", "MODEL": str(tmp_path)}
    if by == "environment":
        for name, value in knobs.items():
            monkeypatch.setenv(name, value)
        assert lab_study.main([]) == 0
    else:
        assert lab_study.main([f"{name}={value}" for name, value in knobs.items()]) == 0
    configs = [config_of(call) for call in recorder.of("train")]
    assert len(configs) == 2
    for config in configs:
        assert config["actor_rollout_ref.actor.kl_loss_coef"] == 0.5
        assert config["data.train_batch_size"] == 16
        assert config["actor_rollout_ref.rollout.n"] == 8
        assert config["actor_rollout_ref.model.path"] == str(tmp_path)
        assert config["permix.lab_problems"] == 88
    for call in recorder.of("eval"):
        assert (call.option("--limit"), call.option("--model")) == ("200", str(tmp_path))


def test_the_studys_own_knobs_do_not_reach_its_commands(
    recorder: CommandRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SEEDS": "3", "LIMIT": "30", "ARMS": "rlvr", "KL": "0.5"}.items():
        monkeypatch.setenv(name, value)
    assert lab_study.main(["SAMPLES=1"]) == 0
    assert len(recorder.of("train")) == 3
    for call in recorder.calls:
        assert {"SEEDS", "LIMIT", "RUNS", "SAMPLES", "ARMS", "METHODS", "OUT", "RUNS_DIR"} & {
            *call.environment
        } == set()
        assert call.environment["KL"] == "0.5"
        assert call.environment["PATH"] == os.environ["PATH"]


def test_an_argument_wins_over_the_environment(recorder: CommandRecorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METHODS", "all")
    assert lab_study.main(["METHODS=sft"]) == 0
    assert [call.arguments[0] for call in recorder.of("train")] == ["sft"]


@pytest.mark.parametrize(
    ("former", "now", "noted"),
    [
        ({"PROBLEMS": "50", "SAMPLES": "3"}, {}, "note: PROBLEMS is now LIMIT, SAMPLES is now RUNS\n"),
        ({"PROBLEMS": "99", "SAMPLES": "9"}, {"LIMIT": "50", "RUNS": "3"}, "note: PROBLEMS is now LIMIT, SAMPLES"),
        ({"ARMS": "sft"}, {"LIMIT": "50", "RUNS": "3"}, ""),
        ({}, {"LIMIT": "50", "RUNS": "3"}, ""),
    ],
)
def test_former_names_still_work_and_two_of_them_print_a_note(
    recorder: CommandRecorder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    former: dict[str, str],
    now: dict[str, str],
    noted: str,
) -> None:
    for name, value in (former | now).items():
        monkeypatch.setenv(name, value)
    assert lab_study.main([]) == 0
    for call in recorder.of("eval"):
        assert (call.option("--limit"), call.option("--runs")) == ("50", "3")
    said = capsys.readouterr().err
    assert said.startswith(noted)
    assert said.count("\n") == (1 if noted else 0)
    assert [call.arguments[0] for call in recorder.of("train")] == (
        ["sft"] if "ARMS" in former else ["rlvr_grpo", "permix_grpo"]
    )


@pytest.mark.parametrize("status", [3, 130])
def test_a_failure_ends_the_study_with_its_status(recorder: CommandRecorder, status: int) -> None:
    recorder.fail, recorder.status = "train", status
    assert lab_study.main([]) == status
    assert [call.verb for call in recorder.calls] == ["eval", "train"], "nothing is evaluated that was not trained"


@pytest.mark.parametrize(
    ("knobs", "said"),
    [({"SEEDS": "0"}, "SEEDS=0 is not a number of 1 or more"),
     ({"RUNS": "few"}, "RUNS=few is not a number of 1 or more"),
     ({"SAMPLES": "few"}, "RUNS=few is not a number of 1 or more"),
     ({"LIMIT": "19"}, "LIMIT=19: the report needs at least 20, and there are 400"),
     ({"PROBLEMS": "401"}, "LIMIT=401: "),
     ({"OUT": "a,b"}, "OUT=a,b has a comma"),
     ({"DRY_RUN": "1"}, "DRY_RUN=1 is for one recipe"),
     ({"SEED": "3"}, "SEED is set here: seeds are 0 to SEEDS-1, and runs are in RUNS_DIR; unset it"),
     ({"RUN_DIR": "x"}, "RUN_DIR is set here"),
     ({"INIT_ADAPTER": "x"}, "INIT_ADAPTER is for one recipe; here every method starts from the base"),
     ({"METHODS": "rlvr dpo"}, "unknown method 'dpo'; known: rlvr permix sft"),
     ({"ARMS": "dpo"}, "unknown method 'dpo'"),
     ({"MODEL": "smollm2", "METHODS": "seqkd"}, "method 'seqkd' needs a model that writes its targets, and smollm2"),
     ({"TASKS": "x"}, "TASKS is not a knob of this command")],
)  # fmt: skip
def test_invalid_knobs_are_refused_before_anything_runs(
    recorder: CommandRecorder, knobs: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError) as refused:
        lab_study.main([f"{name}={value}" for name, value in knobs.items()])
    assert str(refused.value).startswith(said)
    assert recorder.calls == []


def test_a_packaged_model_has_its_own_problems_and_fidelity_by_likelihood(
    recorder: CommandRecorder, tmp_path: Path
) -> None:
    assert lab_study.main(["MODEL=smollm2", "METHODS=all", "LIMIT=300", "LAB_PROBLEMS=88"]) == 0
    out, runs = tmp_path / "out", tmp_path / "runs"
    methods = ["rlvr", "permix", "sft", "permix-sft"]
    for call in recorder.of("eval"):
        asked = ("--tasks", "--limit", "--runs", "--temperature", "--model")
        assert [call.option(name) for name in asked] == ["plain_one", "300", "1", "0.7", "smollm2"]
    trainings = recorder.of("train")
    assert [call.knobs()["RUN_DIR"] for call in trainings] == [str(runs / f"{key}-plain-seed0") for key in methods]
    configs = [config_of(call) for call in trainings]
    assert {config["permix.preset"] for config in configs} == {"smollm2"}
    assert {config["permix.lab_problems"] for config in configs} == {88}
    check, likelihood, report = recorder.calls[-3:]
    assert (check.verb, check.option("--out")) == ("likelihood-check", str(out / "likelihood-check"))
    folders = tuple(str(out / name) for name in ("base", *(f"{key}-seed0" for key in methods)))
    assert likelihood.arguments[:5] == folders
    assert likelihood.option("--check") == check.option("--out")
    assert (report.verb, report.arguments) == ("report", (*folders, "--out", f"{out}/report"))


def test_seeds_of_a_packaged_models_methods_are_pooled(recorder: CommandRecorder, tmp_path: Path) -> None:
    assert lab_study.main(["MODEL=smollm2", "METHODS=permix", "SEEDS=2"]) == 0
    out = tmp_path / "out"
    assert f"PerMix-RLVR={out}/permix-seed0,{out}/permix-seed1" in recorder.calls[-1].arguments


def test_a_base_that_fails_its_check_is_reported_without_likelihood(
    recorder: CommandRecorder, capsys: pytest.CaptureFixture[str]
) -> None:
    recorder.fail = "likelihood-check"
    assert lab_study.main(["MODEL=smollm2"]) == 0
    assert recorder.of("likelihood") == []
    assert recorder.calls[-1].verb == "report"
    assert "fidelity by likelihood is left out" in capsys.readouterr().out
    recorder.status = 130  # interrupted, which says nothing about the base
    assert lab_study.main(["MODEL=smollm2"]) == 130
    assert recorder.calls[-1].verb == "likelihood-check"


def test_a_misspelt_variable_is_refused_before_the_base_is_evaluated(
    recorder: CommandRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEEDSS", "3")
    with pytest.raises(UserError, match=r"SEEDSS=3 is set.*do you mean SEEDS"):
        lab_study.main([])
    assert recorder.calls == []


def test_the_claims_name_methods_that_the_study_trains() -> None:
    named = {method for _, more, other in (*CLAIMS, *BASELINE_CLAIMS) for method in (more, other)}
    assert named - {BASE} <= {method.name for method in STUDY_METHODS.values()}


def test_the_script_hands_knobs_arguments_and_status_on() -> None:
    done = run_script("run_lab.sh", "METHODS=sft", PROBLEMS="19")
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        "note: PROBLEMS is now LIMIT",
        "error: LIMIT=19: the report needs at least 20, and there are 400",
    ]
