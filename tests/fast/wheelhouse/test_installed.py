"""The list of a target's packages, in each form that pip prints."""

import json
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.wheelhouse.installed import Installed, read_installed

FREEZE = """
numpy==2.2.6
Torch==2.11.0+cu130
# Editable install with no version control (mine==0.1)
-e /home/me/mine
-e git+https://example.org/x.git@1234#egg=x
nvidia_cudnn.cu13==9.19.0.56
built @ file:///tmp/built-1.2%2Bcu130-cp312-cp312-linux_x86_64.whl
unknown @ git+https://example.org/unknown@1234
"""
COLUMNS = """
WARNING: You are using pip version 23.2.1
Package           Version      Editable project location
----------------- ------------ -------------------------
numpy             2.2.6
Torch             2.11.0+cu130
mine              0.1          /home/me/mine
"""
LEGACY = "numpy (2.2.6)\ntorch (2.11.0+cu130)\n"
LIST = json.dumps([{"name": "numpy", "version": "2.2.6"}, {"name": "Torch", "version": "2.11.0+cu130"}])
INSPECT = json.dumps(
    {
        "version": "1",
        "installed": [
            {"metadata": {"name": "numpy", "version": "2.2.6"}},
            {"metadata": {"name": "Torch", "version": "2.11.0+cu130", "requires_dist": ["triton==3.6.0"]}},
        ],
    }
)


def read(folder: Path, text: str) -> dict[str, Installed]:
    file = folder / "list"
    file.write_text(text)
    return read_installed(file)


@pytest.mark.parametrize(
    "text", [FREEZE, COLUMNS, LEGACY, LIST, INSPECT], ids=["freeze", "columns", "old", "json", "inspect"]
)
def test_every_form_has_names_and_versions(tmp_path: Path, text: str) -> None:
    found = read(tmp_path, text)
    assert found["numpy"].version == "2.2.6"
    assert found["torch"].version == "2.11.0+cu130"
    assert found["torch"].requires == (("triton==3.6.0",) if text is INSPECT else ())


def test_what_has_no_version_of_its_own_is_left_out(tmp_path: Path) -> None:
    assert sorted(read(tmp_path, FREEZE)) == ["built", "numpy", "nvidia-cudnn-cu13", "torch"]
    assert read(tmp_path, FREEZE)["built"].version == "1.2+cu130"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("numpy==1.0\nTraceback (most recent call last):\n", "line 2: 'Traceback"),
        ("", "names no package"),
        ("# nothing\n", "names no package"),
        ('{"a": 1}', "is JSON, and no list of packages"),
        ("[1, 2", "is JSON, and no list of packages"),
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read --have"):
        read_installed(tmp_path / "none")
