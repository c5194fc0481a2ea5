"""The lab's recipe: its trainings and evaluations, in order. No model is loaded."""

import os
import subprocess
from pathlib import Path

import pytest

from ...conftest import recorded

ROOT = Path(__file__).resolve().parents[3]


def run_lab(*arguments: str, **knobs: str) -> subprocess.CompletedProcess[str]:
    # Without the knobs of the shell that runs the tests.
    environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environment |= {"CUDA_VISIBLE_DEVICES": "", "PERMIX_SKIP_SETUP": "1", "PYTHON": "/no/such/python"} | knobs
    command = ["bash", str(ROOT / "recipes" / "run_lab.sh"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.fixture
def recorder(fake_python: dict[str, str], tmp_path: Path) -> dict[str, str]:
    return fake_python | {"OUT": str(tmp_path / "out"), "RUNS_DIR": str(tmp_path / "runs")}


def option(call: str, name: str) -> str:
    words = call.split()
    return words[words.index(name) + 1]


def test_every_seed_trains_and_evaluates_both_methods_and_all_are_reported(
    recorder: dict[str, str], tmp_path: Path
) -> None:
    done = run_lab("trainer.test_freq=-1", SEEDS="2", PROBLEMS="50", SAMPLES="3", **recorder)
    assert done.returncode == 0, done.stderr
    calls = recorded(recorder)
    out, runs = tmp_path / "out", tmp_path / "runs"
    evaluations = [call for call in calls if "eval/run.py" in call]
    assert [option(call, "--out") for call in evaluations] == [
        str(out / name) for name in ("base", "rlvr-seed0", "permix-seed0", "rlvr-seed1", "permix-seed1")
    ]
    for call in evaluations:
        asked = ("--tasks", "--limit", "--runs", "--temperature", "--top-p", "--model")
        base = str(ROOT / "permix_verl" / "lab" / "model")
        assert [option(call, name) for name in asked] == ["lab_easy,lab_hard", "50", "3", "1", "1", base]
    assert "--adapter" not in evaluations[0]
    assert option(evaluations[4], "--adapter") == str(runs / "permix-lab-seed1" / "adapter")
    trainings = [call for call in calls if "permix_verl.training.launch" in call]
    assert [option(call, "--run-dir") for call in trainings] == [
        str(runs / f"{arm}-lab-seed{seed}") for seed in (0, 1) for arm in ("rlvr", "permix")
    ]
    assert all(call.endswith(" trainer.test_freq=-1") for call in trainings)
    prepared = [call for call in calls if "gsm8k_persona.py" in call]
    assert ["--no-persona" in call.split() for call in prepared] == [True, False, True, False]
    assert [option(call, "--seed") for call in prepared] == ["0", "0", "1", "1"]
    generated = {call for call in calls if "lab_problems.py" in call}
    data = runs / "lab-easy-584.jsonl"
    assert generated == {f"{ROOT}/data_prep/lab_problems.py --level easy --split train --count 584 --out {data}"}
    assert {option(call, "--data") for call in prepared} == {str(data)}, "all arms and seeds have the same problems"
    assert calls[-1] == (
        f"{ROOT}/eval/lab.py --base {out}/base --arm RLVR={out}/rlvr-seed0,{out}/rlvr-seed1 "
        f"--arm PerMix-RLVR={out}/permix-seed0,{out}/permix-seed1 --out {out}/report"
    )


def test_training_knobs_reach_the_trainings_only(recorder: dict[str, str], tmp_path: Path) -> None:
    done = run_lab(KL="0.5", LAB_PROBLEMS="88", MODEL=str(tmp_path), **recorder)
    assert done.returncode == 0, done.stderr
    calls = recorded(recorder)
    trainings = [call for call in calls if "permix_verl.training.launch" in call]
    assert len(trainings) == 2
    for call in trainings:
        assert " actor_rollout_ref.actor.kl_loss_coef=0.5 " in call
        assert " data.train_batch_size=16 " in call, "PROBLEMS and SAMPLES are the evaluation's"
        assert " actor_rollout_ref.rollout.n=8 " in call
        assert option(call, "--base") == str(tmp_path)
    evaluations = [call for call in calls if "eval/run.py" in call]
    assert {option(call, "--limit") for call in evaluations} == {"200"}
    assert {option(call, "--model") for call in evaluations} == {str(tmp_path)}


def test_a_failure_ends_the_recipe(recorder: dict[str, str]) -> None:
    done = run_lab(FAIL="training.launch", FAIL_STATUS="3", **recorder)
    assert done.returncode == 3
    assert sum("eval/" in call for call in recorded(recorder)) == 1, "nothing is evaluated that was not trained"


@pytest.mark.parametrize(
    ("knobs", "said"),
    [({"SEEDS": "0"}, "error: SEEDS=0 is not a number of 1 or more"),
     ({"SAMPLES": "few"}, "error: SAMPLES=few is not a number of 1 or more"),
     ({"PROBLEMS": "19"}, "error: PROBLEMS=19: the report needs at least 20, and there are 400"),
     ({"PROBLEMS": "401"}, "error: PROBLEMS=401: "),
     ({"OUT": "a,b"}, "error: OUT=a,b has a comma"),
     ({"DRY_RUN": "1"}, "error: DRY_RUN=1 is for one recipe"),
     ({"SEED": "3"}, "error: SEED is set here: seeds are 0 to SEEDS-1, and runs are in RUNS_DIR"),
     ({"RUN_DIR": "x"}, "error: RUN_DIR is set here"),
     ({"INIT_ADAPTER": "x"}, "error: INIT_ADAPTER is for one recipe; here every method starts from the base")],
)  # fmt: skip
def test_invalid_knobs_are_refused_before_anything_runs(knobs: dict[str, str], said: str) -> None:
    done = run_lab(**knobs)
    assert done.returncode == 2
    assert done.stderr.startswith(said)


ARMS = ("rlvr", "permix", "sft", "permix-sft", "permix-sft-styled", "seqkd", "seqkd-persona")


def test_all_methods_train_on_the_same_rows_and_have_the_papers_names(recorder: dict[str, str], tmp_path: Path) -> None:
    done = run_lab("actor_rollout_ref.rollout.n=4", ARMS="all", **recorder)
    assert done.returncode == 0, done.stderr
    calls = recorded(recorder)
    runs = tmp_path / "runs"
    trainings = [call for call in calls if "permix_verl.training.launch" in call]
    assert [option(call, "--run-dir") for call in trainings] == [str(runs / f"{arm}-lab-seed0") for arm in ARMS]
    assert ["--trainer sft" in call for call in trainings] == [False] * 2 + [True] * 5
    assert ["rollout.n=4" in call for call in trainings] == [True] * 2 + [False] * 5, "overrides are for the RL arms"
    prepared = [call for call in calls if "gsm8k_persona.py" in call or "gsm8k_sft.py" in call]
    for name in ("--data", "--val-problems", "--max-prompt-length", "--personas", "--seed"):
        assert len({option(call, name) for call in prepared}) == 1, f"the same {name} in all arms"
    assert ["--no-persona" in call.split() for call in prepared] == [True, False, True, False, False, True, False]
    supervised = prepared[2:]
    assert [option(call, "--target") if "--target" in call else "gt" for call in supervised] == [
        "gt",
        "gt",
        "styled",
        "teacher",
        "teacher",
    ]
    assert [option(call, "--engine-model") for call in supervised[2:]] == [
        "lab",
        *[f"{ROOT}/permix_verl/lab/teacher"] * 2,
    ]
    report = calls[-1]
    names = ("RLVR", "PerMix-RLVR", "SFT", "PerMix-SFT", "PerMix-SFT (styled)", "SeqKD", "SeqKD (persona)")
    for arm, name in zip(ARMS, names, strict=True):
        assert f"--arm {name}={tmp_path}/out/{arm}-seed0" in report


def test_an_unknown_method_is_refused() -> None:
    done = run_lab(ARMS="rlvr dpo")
    assert done.returncode == 2
    assert "error: unknown arm 'dpo'; known: rlvr permix sft" in done.stderr


def test_the_claims_name_methods_that_the_recipe_trains() -> None:
    from permix_verl.lab.claims import BASE, BASELINE_CLAIMS, CLAIMS

    script = (ROOT / "recipes" / "run_lab.sh").read_text()
    named = {arm for _, more, other in (*CLAIMS, *BASELINE_CLAIMS) for arm in (more, other)}
    assert all(f']="{arm}"' in script for arm in named - {BASE})
