"""Checks before an environment is made from a wheelhouse."""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from permix_verl import UserError
from permix_verl.wheelhouse.manifest import FILE, Manifest, project_requirements, read_manifest
from permix_verl.wheelhouse.unpack import check

from ...support.wheels import PROJECT, ROOT, make_wheelhouse

REQUIREMENTS = ("alpha", "big", "native", "sourceonly", "tinybackend>=1", "torchlike==1.0")


@pytest.fixture
def pyproject(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    return tmp_path / "pyproject.toml"


def wheelhouse(tmp_path: Path, **fields: object) -> Path:
    make_wheelhouse(tmp_path / "wheels", {"alpha": 10}, **{"requirements": REQUIREMENTS, **fields})
    return tmp_path / "wheels"


def test_extras_of_the_project_itself_are_expanded(pyproject: Path) -> None:
    assert project_requirements(pyproject, ["cpu"]) == REQUIREMENTS
    assert set(project_requirements(pyproject, ["cpu", "test"])) - set(REQUIREMENTS) == {"delta"}
    with pytest.raises(UserError, match="has no extra 'cuda'"):
        project_requirements(pyproject, ["cuda"])


def test_the_projects_own_extras_expand_to_packages_alone() -> None:
    for extras in (["cpu"], ["gpu", "test"]):
        found = project_requirements(ROOT / "pyproject.toml", extras)
        assert any(requirement.startswith("verl") for requirement in found)
        assert not any(requirement.startswith("permix") for requirement in found)


def test_a_wheelhouse_for_this_python_passes(pyproject: Path, tmp_path: Path) -> None:
    manifest, packages = check(wheelhouse(tmp_path), pyproject, ["cpu"])
    assert (manifest.kind, packages) == ("cpu", "none")


def test_another_python_is_said_with_its_version(pyproject: Path, tmp_path: Path) -> None:
    other = "3.12" if sys.version_info[:2] == (3, 11) else "3.11"
    with pytest.raises(UserError, match=rf"is for Python {other} on .*; set PYTHON3=/path/to/python{other}"):
        check(wheelhouse(tmp_path, python=other), pyproject, ["cpu"])


def test_an_extra_that_was_not_packed_is_said(pyproject: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"packed without the extra test; pack again: .* --extra cpu,test"):
        check(wheelhouse(tmp_path), pyproject, ["cpu", "test"])


def test_a_requirement_that_came_later_is_said(pyproject: Path, tmp_path: Path) -> None:
    pyproject.write_text(PROJECT.replace('["alpha"]', '["alpha", "zeta>=3"]'))
    with pytest.raises(UserError, match="packed before the project required zeta>=3"):
        check(wheelhouse(tmp_path), pyproject, ["cpu"])


@pytest.mark.parametrize(("content", "said"), [(None, "is missing"), (b"short", "is damaged")])
def test_a_wheel_that_is_not_whole_is_named(pyproject: Path, tmp_path: Path, content: bytes | None, said: str) -> None:
    file = wheelhouse(tmp_path) / "alpha-1.0-py3-none-any.whl"
    file.unlink()
    if content:
        file.write_bytes(content)
    with pytest.raises(UserError, match=f"alpha-1.0-py3-none-any.whl {said}"):
        check(tmp_path / "wheels", pyproject, ["cpu"])


def test_packages_that_the_target_has_must_be_there_in_that_version(pyproject: Path, tmp_path: Path) -> None:
    numpy = importlib.metadata.version("numpy")
    _, packages = check(wheelhouse(tmp_path, have={"numpy": numpy}), pyproject, ["cpu"])
    assert packages == "system" or Path(packages).is_dir()


@pytest.mark.parametrize(("name", "said"), [("numpy", "counts on numpy 1.0, and .* has "), ("none-such", "has none")])
def test_a_package_that_is_counted_on_and_not_there_is_named(
    pyproject: Path, tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        check(wheelhouse(tmp_path, have={name: "1.0"}), pyproject, ["cpu"])


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"format": 2}'])
def test_a_manifest_of_another_kind_is_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(UserError, match="is damaged, or not of this project"):
        read_manifest(tmp_path)


def test_the_manifest_reads_back_and_its_plain_values_are_a_line_each(tmp_path: Path) -> None:
    made = make_wheelhouse(tmp_path / "wheels", {"alpha": 10}, have={"torch": "2.11.0+cu130"}, without=("beta",))
    assert read_manifest(tmp_path / "wheels") == made
    lines = (tmp_path / "wheels" / FILE).read_text().splitlines()
    assert lines.count(' "kind": "cpu",') == 1
    assert sum(line.startswith(' "python": "') for line in lines) == 1
    assert json.loads("".join(lines))["have"] == {"torch": "2.11.0+cu130"}


def test_the_project_itself_is_not_pinned(tmp_path: Path) -> None:
    made: Manifest = make_wheelhouse(tmp_path / "wheels", {"alpha": 10, "own": 10})
    assert made.pins() == f"alpha==1.0 --hash=sha256:{made.wheels[0].sha256}\n"


def test_unpacking_needs_the_standard_library_alone() -> None:
    """A node's Python may have no pip yet; ``venv`` brings one into the environment."""
    code = "import permix_verl.wheelhouse.__main__, sys; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"packaging", "pip", "filelock", "numpy"} & set(done.stdout.split())
