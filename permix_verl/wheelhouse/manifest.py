"""Wheelhouse on disk: a folder of wheels, the manifest of their hashes, and the pins that pip installs."""

import hashlib
import json
import os
import re
import shutil
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

FILE = "manifest.json"
PINS = "requirements.txt"
FOLDER = "wheelhouse"
"""Name of a wheelhouse within the folder that has, or will have, its parts."""
FORMAT = 1
KINDS = ("cpu", "gpu")
"""Extras of ``pyproject.toml`` that make a machine ready to train; a wheelhouse has one of them."""


@dataclass(frozen=True)
class Wheel:
    """A wheel of a wheelhouse.

    Attributes:
        size: bytes.
        sha256: of the file, in hexadecimal.
    """

    name: str
    version: str
    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Contents of a wheelhouse, and what it was packed for.

    Attributes:
        kind: ``cpu`` or ``gpu``.
        extras: all extras of the project that it serves, ``kind`` among them.
        python: version that the wheels are for, such as ``3.12``.
        platform: platform that they are for, such as ``manylinux_2_31_x86_64``.
        project: name of the project, whose own wheel is not among the pins.
        requirements: requirements of the project with these extras, and of its build, as ``pyproject.toml`` has them.
        have: name -> version of packages that are left out because the target has them.
        without: names of packages that are left out although others require them.
    """

    kind: str
    extras: tuple[str, ...]
    python: str
    platform: str
    project: str
    requirements: tuple[str, ...]
    have: Mapping[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    wheels: tuple[Wheel, ...] = ()

    def text(self) -> str:
        """Return the manifest as JSON, a plain value a line: ``setup_env.sh`` reads two of them with ``sed``."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"

    def pins(self) -> str:
        """Return requirements with hashes, in pip's format, for everything but the project itself."""
        wheels = [wheel for wheel in self.wheels if wheel.name != self.project]
        return "".join(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n" for wheel in wheels)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a wheelhouse.

    Raises:
        UserError: there is none, or it cannot be read.
    """
    file = folder / FILE
    if not file.is_file():
        raise UserError(
            f"{folder} is no wheelhouse: it has no {FILE}",
            "give a folder that recipes/wheelhouse.sh has packed or unpacked",
        )
    return parse_manifest(file.read_bytes(), str(file))


def parse_manifest(content: bytes, place: str) -> Manifest:
    """Parse a manifest.

    Raises:
        UserError: it is no manifest of this format; ``place`` is named.
    """
    try:
        data: dict[str, Any] = json.loads(content)
        if data.pop("format") != FORMAT:
            raise ValueError
        for name in ("extras", "requirements", "without"):
            data[name] = tuple(data[name])
        data["wheels"] = tuple(Wheel(**wheel) for wheel in data["wheels"])
        return Manifest(**data)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(f"{place} is damaged, or not of this project", "pack again, or copy it again") from None


def project_requirements(pyproject: Path, extras: Iterable[str]) -> tuple[str, ...]:
    """Return the requirements of the project with some extras and of its build, sorted; its own extras are expanded.

    Raises:
        UserError: there is no project, or it has no such extra.
    """
    if not pyproject.is_file():
        raise UserError(f"there is no {pyproject}", "run recipes/wheelhouse.sh of a checkout")
    read = tomllib.loads(pyproject.read_text())
    project, optional = read["project"], read["project"].get("optional-dependencies", {})
    own = re.compile(rf"{re.escape(project['name'])}\[([\w, -]+)\]$")
    found = set(read.get("build-system", {}).get("requires", ())) | set(project.get("dependencies", ()))
    pending, seen = list(extras), set()
    while pending:
        if (extra := pending.pop()) in seen:
            continue
        seen.add(extra)
        if extra not in optional:
            raise UserError(f"{project['name']} has no extra {extra!r}", f"its extras: {', '.join(sorted(optional))}")
        for requirement in optional[extra]:
            if match := own.match(requirement):
                pending += [name.strip() for name in match[1].split(",")]
            else:
                found.add(requirement)
    return tuple(sorted(found))


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def megabytes(sizes: Iterable[int]) -> str:
    """Return the sum of sizes in bytes, in words."""
    return f"{sum(sizes) / 1e6:,.1f} MB"


def bad_wheels(folder: Path, manifest: Manifest, *, hashes: bool = True) -> Iterator[str]:
    """Yield a phrase for every wheel of the manifest that is missing or damaged in a folder.

    Args:
        hashes: compare hashes; sizes alone take no time.
    """
    for wheel in manifest.wheels:
        file = folder / wheel.file
        if not file.is_file():
            yield f"{wheel.file} is missing"
        elif file.stat().st_size != wheel.size or (hashes and sha256_of(file) != wheel.sha256):
            yield f"{wheel.file} is damaged"


def write_whole(file: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    os.replace(partial, file)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder beside ``folder`` to fill, with what an earlier try left in it; it replaces ``folder`` at the end.

    Raises:
        UserError: ``folder`` is there and is no wheelhouse: nothing else is replaced.
    """
    if folder.exists() and not (folder / FILE).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UserError(f"{folder} is there, and is no wheelhouse", "give another folder, or delete it")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    yield partial
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(partial, folder)


def remove_strays(folder: Path, names: Collection[str]) -> None:
    """Remove everything else from a folder of ours: wheels of earlier versions, remains of a killed command."""
    for path in folder.iterdir():
        if path.name not in names:
            shutil.rmtree(path) if path.is_dir() else os.unlink(path)
