"""pip's settings as uv gets them."""

import importlib.util
import sys

import pytest

from permix_verl import UserError
from permix_verl.wheelhouse import indexes
from permix_verl.wheelhouse.indexes import pip_settings, uv_options

HAS_PIP = sys.executable if importlib.util.find_spec("pip") else getattr(sys, "_base_executable", sys.executable)
"""uv makes environments without pip."""
MAIN, OTHER, THIRD = "https://main.test/simple", "https://other.test/simple", "file:///third/simple"


def test_the_main_index_is_asked_first_and_all_are() -> None:
    options = uv_options({"index-url": MAIN, "extra-index-url": f"{OTHER} {THIRD}"})
    assert options == [
        *("--index-strategy", "unsafe-best-match"),
        *("--index", MAIN, "--index", OTHER, "--default-index", THIRD),
    ]


def test_one_index_is_the_only_one() -> None:
    assert uv_options({"index-url": MAIN})[2:] == ["--default-index", MAIN]


def test_without_a_setting_it_is_pips_own_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "default_index", lambda: MAIN)
    assert uv_options({"extra-index-url": OTHER})[2:] == ["--index", MAIN, "--default-index", OTHER]
    monkeypatch.setattr(indexes, "default_index", lambda: None)
    assert uv_options({})[2:] == []


def test_folders_constraints_and_the_word_to_ask_no_index_are_handed_on() -> None:
    options = uv_options({"index-url": MAIN, "find-links": "/a /b", "constraint": "c.txt", "no-index": "1"})
    assert options[4:] == ["--find-links", "/a", "--find-links", "/b", "--constraints", "c.txt", "--no-index"]
    assert "--no-index" not in uv_options({"index-url": MAIN, "no-index": "0"})


def test_settings_are_those_of_pip_with_the_environment_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("pip") / "pip.conf"
    file.write_text(f"[global]\nindex-url = {OTHER}\nconstraint = c.txt\n[list]\nindex-url = {THIRD}\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", MAIN)
    monkeypatch.setattr(sys, "executable", HAS_PIP)
    settings = pip_settings()
    assert settings["index-url"] == MAIN
    assert settings["constraint"] == "c.txt"
    monkeypatch.delenv("PIP_INDEX_URL")
    assert pip_settings()["index-url"] == OTHER


def test_pips_help_names_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", HAS_PIP)
    monkeypatch.setenv("PIP_INDEX_URL", MAIN)
    assert indexes.default_index() == MAIN


def test_a_python_without_pip_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="/bin/false has no pip that works; set PYTHON3"):
        pip_settings()
