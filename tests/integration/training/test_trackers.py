"""Trackers with their own libraries: two launches and the results in one run, read back with the same libraries."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from permix_verl.training.trackers import finish, verl_tracking
from permix_verl.training.trackers.chosen import trackers_folder
from permix_verl.training.trackers.environment import tracker_environment
from permix_verl.training.trackers.finish import finish_trackers
from permix_verl.training.trackers.identity import run_identity

from ...support.tracker_runs import (
    SERIES,
    clear_variables,
    log_steps,
    tracked,
    wandb_history,
    wandb_records,
    wandb_summary,
    write_results,
)

TRACKERS = ("tensorboard", "wandb", "mlflow")
STEPS = [0, 1, 2, 2, 3]
"""Steps of a launch that was killed at step 2, and of the one that resumed it."""


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clear_variables(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run folder of two launches with all trackers, whose results were handed over."""
    run_dir = tmp_path_factory.mktemp("tracked") / "run"
    run_dir.mkdir()
    write_results(run_dir)
    settings = tracked(run_dir, *TRACKERS)
    with pytest.MonkeyPatch.context() as monkeypatch:
        clear_variables(monkeypatch, run_dir.parent)
        for first, last in ((0, 2), (2, 3)):
            assert set(log_steps(settings, TRACKERS, first, last)) == {"console", *TRACKERS}
        finish_trackers(settings)
    return run_dir


def test_tensorboard_has_one_run_with_the_series_of_each_persona(finished: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(trackers_folder(finished) / "tensorboard"))
    events.Reload()
    for name in SERIES:
        assert [event.step for event in events.Scalars(name)] == STEPS
    assert events.Scalars("persona/chef/reward")[-1].value == pytest.approx(0.3)
    assert events.Scalars("checks/least_agreement")[-1].value == pytest.approx(0.999)
    assert events.Images("final/curves")[-1].step == 3
    text = events.Tensors("final/completions/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "| zen master | 0 | 0 | zen master \\| says 0 |" in text


def test_wandb_has_one_run_with_the_series_of_each_persona(finished: Path) -> None:
    folder = trackers_folder(finished) / "wandb"
    runs = [record.run for record in wandb_records(folder) if record.WhichOneof("record_type") == "run"]
    assert {(run.run_id, run.run_group, run.display_name) for run in runs} == {
        (run_identity(finished), "permix-lab", "run")
    }
    rows = wandb_history(folder)
    for name in SERIES:
        assert [row["_step"] for row in rows if name in row] == STEPS
    (tables,) = [row for row in rows if "final/completions.ncols" in row]
    assert tables["_step"] == 4  # a server drops what is logged at a step that is over
    summary = wandb_summary(folder)
    assert summary["checks/least_agreement"] == "0.999"
    assert summary["final/checks"] == '"passed"'
    assert [file.parent.parent.name[:11] for file in folder.glob("offline-run-*/files/robustness.csv")] == [
        "offline-run"
    ]


def test_mlflow_has_one_run_with_the_series_of_each_persona(finished: Path, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{trackers_folder(finished)}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("permix_verl")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    for name in SERIES:
        assert [metric.step for metric in client.get_metric_history(run.info.run_id, name)] == STEPS
    assert run.data.params["launch"] == "0"  # the first launch's
    assert run.data.metrics["checks/least_agreement"] == 0.999
    assert run.data.tags["final.checks"] == "passed"
    files = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert files == {"curves.png", "robustness.csv", "verdict.json", "completions_3.json"}
    table = json.loads(
        Path(client.download_artifacts(run.info.run_id, "completions_3.json", str(tmp_path))).read_text()
    )
    persona = table["columns"].index("persona")
    assert [row[persona] for row in table["data"]] == ["zen master"] * 2 + ["chef"] * 3
    assert run.info.artifact_uri.startswith(str(trackers_folder(finished)))


def test_without_our_change_verl_loses_mlflow_when_it_resumes(tmp_path: Path) -> None:
    """Negative control: MLflow refuses the second launch's parameters."""
    settings = tracked(tmp_path, "mlflow")
    assert log_steps(settings, ["mlflow"], 0, 1, adapt=False) == ["mlflow", "console"]
    assert log_steps(settings, ["mlflow"], 1, 2, adapt=False) == ["console"]


def test_a_deleted_mlflow_run_is_made_anew(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    settings = tracked(tmp_path, "mlflow")
    first = tracker_environment(settings.config, settings.folder)
    assert tracker_environment(settings.config, settings.folder) == first
    MlflowClient(first["MLFLOW_TRACKING_URI"]).delete_run(first["MLFLOW_RUN_ID"])
    second = tracker_environment(settings.config, settings.folder)
    assert second["MLFLOW_TRACKING_URI"] == first["MLFLOW_TRACKING_URI"]
    assert second["MLFLOW_RUN_ID"] != first["MLFLOW_RUN_ID"]


def test_a_tracker_that_fails_gives_one_line_and_the_others_get_the_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_results(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hidden-word@127.0.0.1:9")
    finish_trackers(tracked(tmp_path, "mlflow", "tensorboard"))
    printed = capsys.readouterr()
    assert printed.out == "trackers  tensorboard: figure, checks and sampled completions logged\n"
    lines = printed.err.splitlines()
    assert lines[0].startswith("warning: no MLflow run could be made at http://***@127.0.0.1:9: ")
    assert lines[1].startswith("warning: mlflow did not get the run's results: ")
    assert len(lines) == 2
    assert "hidden-word" not in printed.err


def test_a_tracker_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(finish, "UPLOAD_S", 0.1)
    finish_trackers(tracked(tmp_path, "wandb"))
    assert capsys.readouterr().err == "warning: wandb did not get the run's results: no end after 0.1 s\n"


def test_results_that_cannot_be_read_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "verdict.json").write_text("{")
    finish_trackers(tracked(tmp_path, "tensorboard"))
    assert capsys.readouterr().err.startswith("warning: the trackers did not get the run's results: ")
    finish_trackers(tracked(tmp_path))  # without a tracker nothing is read
    assert capsys.readouterr().err == ""


def test_trackio_resumes_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    monkeypatch.setitem(sys.modules, "trackio", SimpleNamespace(init=lambda **keys: given.append(keys)))
    for _ in range(2):
        verl_tracking.adapt_tracking(["console", "trackio"])
    sys.modules["trackio"].init(project="permix_verl", name="run")
    assert given == [{"project": "permix_verl", "name": "run", "resume": "allow"}]
