"""Unpack parts into a wheelhouse, and check a wheelhouse before an environment is made of it."""

import importlib.metadata
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.wheelhouse.manifest import (
    FILE,
    FOLDER,
    PINS,
    Manifest,
    bad_wheels,
    project_requirements,
    read_manifest,
    remove_strays,
    whole_folder,
)
from permix_verl.wheelhouse.parts import LIST, STEM, join_parts, read_parts
from permix_verl.wheelhouse.target import parse_target, unfit

PACK_AGAIN = "pack again: bash recipes/wheelhouse.sh pack"


def unpack(folder: Path, to: Path | None) -> tuple[Path, Manifest]:
    """Join the parts in a folder, and check the hash of every part and every wheel.

    Args:
        folder: folder with the parts, or a wheelhouse that needs no more than the check.
        to: folder of the wheelhouse; ``None``: ``wheelhouse`` within ``folder``.

    Returns:
        Folder of the wheelhouse, and its manifest.

    Raises:
        UserError: there are no parts, some are missing or damaged, or a wheel is; each is named.
    """
    if (folder / LIST).is_file():
        target = to or folder / FOLDER
        parts = read_parts(folder)
        with whole_folder(target) as partial:
            manifest = join_parts(folder, parts, partial)
            remove_strays(partial, {FILE, PINS, *(wheel.file for wheel in manifest.wheels)})
        return target, manifest
    if found := sorted(folder.glob(f"{STEM}.[0-9]*")):
        raise UserError(f"{folder} has {len(found)} parts and no {LIST}", "copy it from where they were packed")
    ready = next((place for place in (folder, folder / FOLDER) if (place / FILE).is_file()), folder)
    manifest = read_manifest(ready)
    _refuse(list(bad_wheels(ready, manifest)), ready)
    return ready, manifest


def _refuse(bad: Sequence[str], folder: Path) -> None:
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        raise UserError(f"{folder}: {bad[0]}{more}", "unpack it again, or copy it again")


def check(folder: Path, pyproject: Path, extras: Sequence[str]) -> tuple[Manifest, str]:
    """Check that this Python can install the project with some extras from a wheelhouse.

    Returns:
        The manifest, and how a new environment gets to see this Python's packages: ``none``, ``system``
        (``--system-site-packages``), or their folder, where this Python is itself a virtual environment.

    Raises:
        UserError: another Python or machine, extras or requirements that it was not packed for, a file that is missing,
            or a package that it counts on and this Python lacks.
    """
    manifest = read_manifest(folder)
    target = parse_target(manifest.python, manifest.platform)
    if why := unfit(target):
        raise UserError(
            f"{folder} is for {target}, and {why}", f"set PYTHON3=/path/to/python{manifest.python}, or pack again"
        )
    if lacking := [extra for extra in extras if extra not in manifest.extras]:
        raise UserError(
            f"{folder} was packed without the extra {lacking[0]}",
            f"{PACK_AGAIN} --extra {','.join((*manifest.extras, *lacking))}",
        )
    wanted = project_requirements(pyproject, extras)
    if missing := [requirement for requirement in wanted if requirement not in manifest.requirements]:
        raise UserError(f"{folder} was packed before the project required {missing[0]}", PACK_AGAIN)
    _refuse(list(bad_wheels(folder, manifest, hashes=False)), folder)
    for name, version in manifest.have.items():
        if _numbers(_installed(name)) != _numbers(version):
            raise UserError(
                f"{folder} counts on {name} {version}, and {sys.executable} has {_installed(name) or 'none'}",
                "set PYTHON3 to the Python that the list of --have came from, or pack with that of this one",
            )
    if not manifest.have:
        return manifest, "none"
    return manifest, "system" if sys.prefix == sys.base_prefix else sysconfig.get_path("purelib")


def _numbers(version: str | None) -> list[str]:
    """Return a version's parts; pip lists 2024.02.01 as 2024.2.1."""
    return [part.lstrip("0") or "0" for part in re.split(r"[.+_-]", (version or "").lower())]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
