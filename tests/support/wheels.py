"""Small wheels and sources, an index of them, and a small project that is packed with the recipes of this one."""

import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.wheelhouse.manifest import FILE, PINS, Manifest, Wheel, sha256_of

ROOT = Path(__file__).resolve().parents[2]
HERE = "{}.{}".format(*sys.version_info)
"""Version of this Python."""
TAG = "cp{}{}".format(*sys.version_info)
BACKEND = """
import pathlib, tomllib, zipfile
def _write(folder, lines, files):
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    requires = [f"Requires-Dist: {text}" for text in project.get("dependencies", ())]
    for extra, texts in project.get("optional-dependencies", {}).items():
        requires += [f"Provides-Extra: {extra}", *(f'Requires-Dist: {text}; extra == "{extra}"' for text in texts)]
    head = ["Metadata-Version: 2.1", f"Name: {project['name']}", f"Version: {project['version']}"]
    with zipfile.ZipFile(pathlib.Path(folder) / f"{stem}-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{stem}.dist-info/METADATA", "\\n".join([*head, *requires]) + "\\n")
        wheel.writestr(f"{stem}.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{stem}.dist-info/RECORD", "")
    return f"{stem}-py3-none-any.whl"
def build_wheel(folder, config_settings=None, metadata_directory=None):
    return _write(folder, [], {f"{path.stem}_built.py": "" for path in pathlib.Path().glob("*.toml")})
def build_editable(folder, config_settings=None, metadata_directory=None):
    return _write(folder, [], {"small_project.pth": str(pathlib.Path.cwd())})
"""
"""A build backend, itself a package that a build must fetch."""
PROJECT = """
[build-system]
requires = ["tinybackend>=1"]
build-backend = "tinybackend"
[project]
name = "permix-verl"
version = "0.1.0"
dependencies = ["alpha"]
[project.optional-dependencies]
cpu = ["permix-verl[train]", "native", "torchlike==1.0"]
gpu = ["permix-verl[train]", "native==9"]
train = ["sourceonly", "big"]
test = ["delta"]
"""


def make_wheel(
    folder: Path,
    name: str,
    version: str,
    requires: Sequence[str] = (),
    files: Mapping[str, bytes | str] | None = None,
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel with a module of its name."""
    stem = f"{name.replace('-', '_')}-{version}"
    file = folder / f"{stem}-{tag}.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in requires]
    with zipfile.ZipFile(file, "w") as wheel:
        for path, content in (files or {f"{name}.py": f"version = {version!r}\n"}).items():
            wheel.writestr(zipfile.ZipInfo(path), content)  # without the time
        wheel.writestr(zipfile.ZipInfo(f"{stem}.dist-info/METADATA"), "\n".join(lines) + "\n")
        stated = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
        wheel.writestr(zipfile.ZipInfo(f"{stem}.dist-info/WHEEL"), stated)
        wheel.writestr(zipfile.ZipInfo(f"{stem}.dist-info/RECORD"), "")
    return file


def make_sources(folder: Path, name: str, version: str) -> Path:
    """Write a source distribution whose build needs ``tinybackend``."""
    system = '[build-system]\nrequires = ["tinybackend"]\nbuild-backend = "tinybackend"\n'
    texts = {
        "pyproject.toml": f'{system}[project]\nname = "{name}"\nversion = "{version}"\n',
        "PKG-INFO": f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n",
    }
    file = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(file, "w:gz") as archive:
        for path, text in texts.items():
            entry = tarfile.TarInfo(f"{name}-{version}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return file


@functools.cache
def noise(size: int) -> bytes:
    """Return bytes that do not compress, the same every time."""
    blocks = (hashlib.sha512(number.to_bytes(4, "big")).digest() for number in range(size // 64 + 1))
    return b"".join(blocks)[:size]


def make_index(folder: Path) -> Path:
    """Fill a folder that pip and uv take with ``--find-links``."""
    folder.mkdir()
    make_wheel(folder, "tinybackend", "1.0", files={"tinybackend.py": BACKEND})
    make_wheel(folder, "alpha", "1.0", ["beta"])
    make_wheel(folder, "alpha", "2.0", ["beta", "gamma; python_version >= '3.12'", "rare"])
    for name, version in (
        ("beta", "1.0"),
        ("beta", "2.0"),
        ("gamma", "1.0"),
        ("delta", "1.0"),
        ("rare", "1.0"),
        ("heavy", "1.0"),
    ):
        make_wheel(folder, name, version)
    make_wheel(folder, "torchlike", "1.0", ["beta==1.0", "heavy"])
    make_wheel(folder, "big", "1.0", files={"big.bin": noise(2_500_000)})
    for minor in (17, 28, 39):
        make_wheel(folder, "native", "1.0", tag=f"{TAG}-{TAG}-manylinux_2_{minor}_x86_64")
    make_sources(folder, "sourceonly", "1.0")
    return folder


def make_project(folder: Path) -> Path:
    """Make a checkout with these recipes and other requirements."""
    for name in ("recipes/setup_env.sh", "recipes/wheelhouse.sh", "permix_verl/__init__.py", "permix_verl/errors.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "permix_verl" / "wheelhouse", folder / "permix_verl" / "wheelhouse", ignore=ignored)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def make_wheelhouse(folder: Path, sizes: Mapping[str, int], **fields: object) -> Manifest:
    """Make a wheelhouse of wheels with a file of ``sizes`` bytes each."""
    folder.mkdir(parents=True)
    wheels = []
    for name, size in sizes.items():
        file = make_wheel(folder, name, "1.0", files={f"{name}.bin": noise(size)})
        wheels.append(Wheel(name, "1.0", file.name, file.stat().st_size, sha256_of(file)))
    stated = {"kind": "cpu", "extras": ("cpu",), "python": HERE, "platform": "manylinux_2_17_x86_64", "project": "own"}
    manifest = Manifest(**{"requirements": (), "wheels": tuple(wheels), **stated, **fields})  # type: ignore[arg-type]
    (folder / FILE).write_text(manifest.text())
    (folder / PINS).write_text(manifest.pins())
    return manifest


def offline_environment(index: Path, home: Path, uv: Path) -> dict[str, str]:
    """Return an environment in which pip and uv have the index alone."""
    return {
        "PATH": f"{uv}:/usr/bin:/bin",
        "HOME": str(home),
        "PYTHON3": sys.executable,
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": str(home / "uv"),
    }


def install_uv(folder: Path) -> Path | None:
    """Return the folder that has uv, installed into ``folder`` if it is not on PATH; ``None`` if it cannot be had."""
    if found := shutil.which("uv"):
        return Path(found).parent
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "uv"]
    done = subprocess.run(command, capture_output=True)
    return folder / "bin" if done.returncode == 0 else None
