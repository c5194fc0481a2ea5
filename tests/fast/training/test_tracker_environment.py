"""Variables of the trackers: those that are set, those that are forwarded, and those that stand nowhere."""

import json
import logging
from pathlib import Path

import pytest

from permix_verl.training.trackers import environment, verl_tracking
from permix_verl.training.trackers.completions import COLUMNS, sample_completions
from permix_verl.training.trackers.credentials import public_environment, redact, secret_environment
from permix_verl.training.trackers.environment import tracker_environment
from permix_verl.training.trackers.identity import run_identity

from ...support.tracker_runs import clear_variables, tracked, write_validation


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clear_variables(monkeypatch, tmp_path)


def variables(run_dir: Path, *trackers: str) -> dict[str, str]:
    settings = tracked(run_dir, *trackers)
    return tracker_environment(settings.config, settings.folder)


def test_every_tracker_writes_under_the_run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "attach_mlflow_run", lambda config, run_dir, uri: "f" * 32)
    ours = variables(tmp_path, "wandb", "tensorboard", "mlflow", "trackio", "swanlab")
    inside = tmp_path.resolve() / "trackers"
    assert ours == {
        "WANDB_DIR": str(inside),
        "WANDB_RUN_ID": run_identity(tmp_path),
        "WANDB_RESUME": "allow",
        "WANDB_RUN_GROUP": "permix-lab",
        "TENSORBOARD_DIR": f"{inside}/tensorboard",
        "MLFLOW_TRACKING_URI": f"sqlite:///{inside}/mlflow/mlflow.db",
        "MLFLOW_RUN_ID": "f" * 32,
        "TRACKIO_DIR": f"{inside}/trackio",
        "SWANLAB_LOG_DIR": f"{inside}/swanlab",
        "SWANLAB_RUN_ID": run_identity(tmp_path),
        "SWANLAB_RESUME": "allow",
    }
    assert {path.name for path in inside.iterdir() if path.is_dir()} == {
        "mlflow",
        "swanlab",
        "tensorboard",
        "trackio",
        "wandb",
    }
    assert variables(tmp_path) == {}


def test_what_the_user_has_set_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_RUN_ID", "mine")
    monkeypatch.setenv("MLFLOW_RUN_ID", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert "WANDB_RUN_ID" not in variables(tmp_path, "wandb")
    assert variables(tmp_path, "mlflow") == {}


def test_launches_share_an_identity_and_another_run_has_its_own(tmp_path: Path) -> None:
    one, other = run_identity(tmp_path / "one"), run_identity(tmp_path / "other")
    assert run_identity(tmp_path / "one") == one != other
    assert one.isalnum()
    assert len(one) == 21
    (tmp_path / "one" / "trackers" / "identity").unlink()
    assert run_identity(tmp_path / "one") != one


@pytest.mark.parametrize(("mode", "emptied"), [("offline", True), ("local", True), ("cloud", False), ("", False)])
def test_swanlabs_key_is_hidden_from_verl_in_offline_modes_only(
    mode: str, emptied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWANLAB_API_KEY", "a-key")
    if mode:
        monkeypatch.setenv("SWANLAB_MODE", mode)
    assert (variables(tmp_path, "swanlab").get("SWANLAB_API_KEY") == "") is emptied
    assert "SWANLAB_API_KEY" not in variables(tmp_path, "wandb")


def test_secrets_and_others_are_told_apart() -> None:
    public = {"WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": "http://server:5000", "TRACKIO_SPACE_ID": "a/b"}
    secret = {
        "WANDB_API_KEY": "k1",
        "HF_TOKEN": "k2",
        "MLFLOW_TRACKING_PASSWORD": "k3",
        "SWANLAB_SOMETHING_NEW": "k4",  # unknown
        "WANDB_BASE_URL": "https://me:k5@host",
        "TRACKIO_SERVER_URL": "https://host/?write_token=k6",
    }
    others = {"PATH": "/bin", "HF_HOME": "/hub", "OPENAI_API_KEY": "k7", "SWANLAB_API_KEY": ""}
    assert secret_environment(public | secret | others) == secret
    assert public_environment(public | secret | others) == public


def test_a_password_leaves_the_uri_that_mlflow_and_verl_print() -> None:
    uri = "https://me:p%40ss-word@host:5000/path"
    assert secret_environment({"MLFLOW_TRACKING_URI": uri}) == {
        "MLFLOW_TRACKING_URI": "https://host:5000/path",
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": "p@ss-word",
    }
    assert public_environment({"MLFLOW_TRACKING_URI": uri}) == {"MLFLOW_TRACKING_URI": "https://host:5000/path"}
    database = {"MLFLOW_TRACKING_URI": "postgresql://me:pass-word@host/db"}
    assert secret_environment(database) == database
    assert public_environment(database) == {}


def test_verls_log_states_no_credentials(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    verl_tracking.adapt_tracking(["console"])
    logger = logging.getLogger("verl.utils.tracking")
    with caplog.at_level(logging.INFO, logger.name):
        logger.info("Using MLFlow tracking URI: %s", "postgresql://me:pass-word@host/db")
        logger.info("key %s", "0123456789")
    assert [record.getMessage() for record in caplog.records] == [
        "Using MLFlow tracking URI: postgresql://***@host/db",
        "key ***",
    ]
    assert redact("nothing to hide at http://host/a@b") == "nothing to hide at http://host/a@b"


def test_the_last_validations_best_and_worst_of_each_persona(tmp_path: Path) -> None:
    write_validation(tmp_path, 2, {"pilot": [1.0]})
    write_validation(tmp_path, 10, {"chef": [1, 0, 1, 0, 1, 1], "zen master": [0.0]})
    rows = sample_completions(tmp_path, per_persona=3)
    assert [(row["persona"], row["score"], row["row_id"][-1]) for row in rows] == [
        ("zen master", 0, "0"),
        ("chef", 1, "0"),
        ("chef", 1, "2"),
        ("chef", 0, "3"),
    ]
    assert tuple(rows[0]) == COLUMNS
    assert {row["step"] for row in rows} == {10}


def test_no_validation_or_none_with_personas_gives_no_completions(tmp_path: Path) -> None:
    assert sample_completions(tmp_path) == []
    write_validation(tmp_path, 1, {"": [1.0]})
    with (tmp_path / "validation" / "1.jsonl").open("a") as file:
        file.write(json.dumps({"score": 1})[:-1])
    assert sample_completions(tmp_path) == []
