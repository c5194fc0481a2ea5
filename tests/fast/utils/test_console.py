"""Commands in messages."""

import sys
from pathlib import Path

import pytest

from permix_verl.utils.console import permix_command


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with ``permix`` in a checkout, not on PATH."""
    scripts = tmp_path / "checkout" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    for name in ("python", "permix"):
        (scripts / name).touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(scripts / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path / "checkout")
    return scripts


def test_a_command_is_a_path_that_exists_where_the_user_is(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert permix_command() == ".venv/bin/permix"
    monkeypatch.chdir(tmp_path / "checkout" / ".venv" / "bin" / "..")
    assert permix_command() == "bin/permix"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert permix_command() == str(environment / "permix")


def test_on_path_its_name_is_enough_unless_it_is_another_ones(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "permix").touch(mode=0o755)
    assert permix_command() == ".venv/bin/permix", "that one is another environment's"
    monkeypatch.setenv("PATH", f"{environment}:{tmp_path}")
    assert permix_command() == "permix"


def test_without_a_script_the_name_remains(environment: Path) -> None:
    (environment / "permix").unlink()
    assert permix_command() == "permix"
