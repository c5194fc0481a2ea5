"""``recipes/wheelhouse.sh`` and ``WHEELHOUSE=``: a small project with its own index, packed, unpacked, installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from permix_verl.wheelhouse.manifest import read_manifest

from ...support.wheels import HERE, install_uv, make_index, make_project, make_wheel, offline_environment

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the index has wheels for x86_64")
OTHER = "3.12" if HERE == "3.11" else "3.11"


class Workshop:
    """A project, an index, and the shell in which the recipes are run."""

    def __init__(self, folder: Path, uv: Path) -> None:
        self.folder = folder
        self.project, self.index = make_project(folder / "project"), make_index(folder / "index")
        self.variables = offline_environment(self.index, folder / "home", uv)

    def shell(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = self.variables | variables
        return subprocess.run(
            command, cwd=self.project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def pack(self, out: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "recipes/wheelhouse.sh", "pack", "--extra", "cpu", "--platform", "manylinux_2_28_x86_64"]
        command += ["--python", HERE, "--out", str(self.folder / out), *options]
        return self.shell(*command, **variables)

    def set_up(self, wheelhouse: Path, venv: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Make an environment; pip's own settings name places that are not there."""
        lost = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": "/nowhere", "PIP_NO_INDEX": "0"}
        lost["PIP_CONSTRAINT"] = "/nowhere/constraints.txt"
        wanted = {"WHEELHOUSE": str(wheelhouse), "VENV": str(self.folder / venv)} | lost | variables
        return self.shell("bash", "recipes/setup_env.sh", **wanted)

    def packages(self, venv: str) -> dict[str, str]:
        code = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
        done = self.shell(str(self.folder / venv / "bin" / "python"), "-c", code)
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = install_uv(tmp_path_factory.mktemp("uv"))
    if found is None:
        pytest.skip("uv is not on PATH and cannot be installed")
    return found


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory, uv: Path) -> Iterator[Workshop]:
    """A workshop whose folder ``out`` has the packed extra ``cpu``."""
    workshop = Workshop(tmp_path_factory.mktemp("workshop"), uv)
    done = workshop.pack("out", "--parts", "1M")
    assert done.returncode == 0, done.stdout + done.stderr
    yield workshop
    shutil.rmtree(workshop.folder)


def test_packed_here_and_copied_it_is_installed_without_an_index(packed: Workshop) -> None:
    node = packed.folder / "node"
    node.mkdir()
    for file in (packed.folder / "out").glob("*[0-9n]"):
        if file.is_file():
            assert file.stat().st_size <= 1_000_000
            shutil.copy(file, node)
    assert len(list(node.iterdir())) == 4
    unpacked = packed.shell("bash", "recipes/wheelhouse.sh", "unpack", str(node))
    assert unpacked.returncode == 0, unpacked.stderr
    done = packed.set_up(node / "wheelhouse", "venv")
    assert done.returncode == 0, done.stderr
    expected = {"alpha": "2.0", "beta": "1.0", "big": "1.0", "native": "1.0", "rare": "1.0", "sourceonly": "1.0"}
    expected |= {"torchlike": "1.0", "heavy": "1.0", "permix-verl": "0.1.0", "tinybackend": "1.0"}
    found = packed.packages("venv")
    assert {name: version for name, version in found.items() if name not in ("pip", "setuptools")} == expected
    again = packed.set_up(node / "wheelhouse", "venv")
    assert (again.returncode, again.stderr) == (0, ""), "what stands is not set up again"


def test_the_wheels_are_those_of_the_target_and_the_pins_have_their_hashes(packed: Workshop) -> None:
    manifest = read_manifest(packed.folder / "out" / "wheelhouse")
    files = {wheel.name: wheel.file for wheel in manifest.wheels}
    assert "manylinux_2_28" in files["native"]
    assert files["sourceonly"] == "sourceonly-1.0-py3-none-any.whl"
    assert "permix-verl" in files
    assert ("gamma" in files) == (HERE == "3.12"), "markers are the target's"
    pins = (packed.folder / "out" / "wheelhouse" / "requirements.txt").read_text().splitlines()
    assert len(pins) == len(files) - 1
    assert all(" --hash=sha256:" in pin for pin in pins)


def test_the_same_command_fetches_what_is_damaged_alone(packed: Workshop) -> None:
    shutil.copytree(packed.folder / "out", packed.folder / "copy")
    wheel = packed.folder / "copy" / "wheelhouse" / "alpha-2.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes()[:-1] + b"x")
    done = packed.pack("copy")
    fetched = [line for line in done.stdout.splitlines() if "to fetch" in line]
    assert [line.partition(",")[0] for line in fetched] == ["  1 of 1 wheels to fetch: alpha"]
    assert "building sourceonly" not in done.stdout
    assert not list((packed.folder / "copy").glob("wheelhouse.tar*")), "they would be of another packing"
    original = read_manifest(packed.folder / "out" / "wheelhouse").wheels
    assert [
        wheel for wheel in read_manifest(packed.folder / "copy" / "wheelhouse").wheels if wheel.name == "alpha"
    ] == [wheel for wheel in original if wheel.name == "alpha"]


def test_markers_are_those_of_another_python(packed: Workshop) -> None:
    done = packed.pack("elsewhere", "--python", "3.12", "--extra", "cpu", "--dry-run")
    if HERE == "3.12":
        assert "gamma 1.0" in done.stdout
    else:  # the index has no wheel of native for it
        assert done.returncode == 2
        assert "native" in done.stderr


@pytest.fixture(scope="module")
def machine(packed: Workshop) -> Path:
    """A Python that has a build of torchlike with a local label, and an old beta; and the list of its packages."""
    own = packed.folder / "own"
    own.mkdir()
    make_wheel(own, "torchlike", "1.0+cu130", ["beta==1.0"])
    subprocess.run([sys.executable, "-m", "venv", str(packed.folder / "machine")], check=True)
    python = packed.folder / "machine" / "bin" / "python"
    install = [str(python), "-m", "pip", "install", "--quiet", "--find-links", str(own), "torchlike", "beta==1.0"]
    done = packed.shell(*install)
    assert done.returncode == 0, done.stderr
    for form in ("freeze", "inspect", "list"):
        listed = packed.shell(str(python), "-m", "pip", form)
        (packed.folder / f"{form}.txt").write_text(listed.stdout)
    return python


@pytest.mark.parametrize("form", ["freeze", "inspect", "list"])
def test_what_the_target_has_is_left_out(packed: Workshop, machine: Path, form: str) -> None:
    done = packed.pack("beside", "--have", str(packed.folder / f"{form}.txt"), "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "2 are kept as the target has them" in done.stdout
    assert not re.search("torchlike|heavy", done.stdout), "what the target's build does without is not packed"


def test_an_environment_beside_what_the_target_has_and_without_what_is_not_wanted(
    packed: Workshop, machine: Path
) -> None:
    done = packed.pack("beside", "--have", str(packed.folder / "freeze.txt"), "--without", "Rare")
    assert done.returncode == 0, done.stderr
    assert "left out: rare 1.0, " in done.stdout
    wheelhouse = packed.folder / "beside" / "wheelhouse"
    assert dict(read_manifest(wheelhouse).have) == {"beta": "1.0", "torchlike": "1.0+cu130"}
    assert not list(wheelhouse.glob("torchlike*"))
    refused = packed.set_up(wheelhouse, "no-venv")
    assert refused.returncode == 2
    assert "counts on beta 1.0, and " in refused.stderr
    assert not (packed.folder / "no-venv").exists()
    done = packed.set_up(wheelhouse, "venv-beside", PYTHON3=str(machine))
    assert done.returncode == 0, done.stderr
    found = packed.packages("venv-beside")
    assert (found["torchlike"], found["beta"], found["alpha"]) == ("1.0+cu130", "1.0", "2.0")
    assert "rare" not in found


def test_another_python_is_refused_by_its_version(packed: Workshop) -> None:
    folder = packed.folder / "other-python"
    shutil.copytree(packed.folder / "out" / "wheelhouse", folder)
    manifest = (folder / "manifest.json").read_text().replace(f'"python": "{HERE}"', f'"python": "{OTHER}"')
    (folder / "manifest.json").write_text(manifest)
    done = packed.set_up(folder, "no-venv")
    assert done.returncode == 2
    assert (
        f"the wheels of {folder} are for Python {OTHER}; install one, or set PYTHON3=/path/to/python{OTHER}"
        in done.stderr
    )


def test_what_the_wheelhouse_lacks_is_named_before_anything_is_made(packed: Workshop) -> None:
    done = packed.set_up(packed.folder / "out" / "wheelhouse", "no-venv", EXTRAS="test")
    assert done.returncode == 2
    assert "was packed without the extra test" in done.stderr
    done = packed.set_up(packed.folder, "no-venv")
    assert "has no manifest.json; unpack it first" in done.stderr
    assert not (packed.folder / "no-venv").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--extra", "test"], "must have one of cpu and gpu"),
        (["--extra", "gpu"], "native==9"),
        (["--without", "nothing-such"], "--without nothing-such: nothing requires it"),
        (["--extra", "cpu,none"], "has no extra 'none'"),
    ],
)
def test_what_cannot_be_packed_is_said(packed: Workshop, options: list[str], said: str) -> None:
    done = packed.pack("refused", *options)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (packed.folder / "refused" / "wheelhouse").exists()
