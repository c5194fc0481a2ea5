"""Fetch the wheels of a resolution with pip; build those that exist as sources alone, and the project's own."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from permix_verl.errors import UserError
from permix_verl.wheelhouse.indexes import last_line, run_pip
from permix_verl.wheelhouse.manifest import Wheel, megabytes, sha256_of
from permix_verl.wheelhouse.packaging_names import parse_wheel_filename
from permix_verl.wheelhouse.resolve import Pin
from permix_verl.wheelhouse.target import Target

BATCH_BYTES = 50_000_000
"""Bytes of wheels that one call of pip fetches; a call that is killed is fetched again."""
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "permix_verl", "reward_fns")
"""Files and folders of the checkout that its wheel is built of."""


def fetch(pins: Sequence[Pin], folder: Path, earlier: Path, target: Target, say: Callable[[str], None]) -> list[Wheel]:
    """Bring the wheels of all pins into a folder; those that are there with the right hash stay.

    Args:
        folder: folder to fill.
        earlier: folder of an earlier wheelhouse, which may have some of them.
        say: shows a line of progress.

    Raises:
        UserError: a file cannot be fetched, is not what the index said, or cannot be built for the target.
    """
    for pin in pins:
        _take_over(pin, folder, earlier, target)
    wheels, sources = [pin for pin in pins if pin.is_wheel], [pin for pin in pins if not pin.is_wheel]
    missing = [pin for pin in wheels if not (folder / pin.file).is_file()]
    done = 0
    for batch in _batches(missing):
        names = batch[0].name if len(batch) == 1 else f"{batch[0].name} and {len(batch) - 1} more"
        say(f"  {done + 1} of {len(missing)} wheels to fetch: {names}, {megabytes(pin.size or 0 for pin in batch)}")
        _download(batch, folder, target)
        done += len(batch)
    files = {pin.name: folder / pin.file for pin in wheels}
    for pin in sources:
        files[pin.name] = _built_earlier(pin, folder) or _build_pin(pin, folder, target, say)
    return [describe(file) for _, file in sorted(files.items())]


def describe(file: Path) -> Wheel:
    """Return the manifest's entry for a wheel on disk."""
    name, version = parse_wheel_filename(file.name)[:2]
    return Wheel(str(name), str(version), file.name, file.stat().st_size, sha256_of(file))


def build_project(root: Path, folder: Path) -> Wheel:
    """Build the project's own wheel from a copy: a build folder in the checkout would be packed too."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        copy = Path(work) / "source"
        copy.mkdir()
        for name in SOURCES:
            if (root / name).is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(root / name, copy / name, symlinks=True, ignore=ignored)
            elif (root / name).is_file():
                shutil.copy(root / name, copy)
        return describe(_build(str(copy), folder))


def _take_over(pin: Pin, folder: Path, earlier: Path, target: Target) -> None:
    """Link a wheel from an earlier wheelhouse, or drop a damaged one."""
    file = folder / pin.file
    if not pin.is_wheel:
        if not _built_earlier(pin, folder) and (built := _built_earlier(pin, earlier)):
            _link(built, folder / built.name)
        return
    if file.is_file() and sha256_of(file) != pin.sha256:
        file.unlink()
    if not file.is_file() and (earlier / pin.file).is_file() and sha256_of(earlier / pin.file) == pin.sha256:
        _link(earlier / pin.file, file)


def _link(file: Path, link: Path) -> None:
    try:
        os.link(file, link)
    except OSError:  # a file system without hard links
        partial = link.with_name(link.name + ".partial")
        shutil.copy(file, partial)
        os.replace(partial, link)


def _built_earlier(pin: Pin, folder: Path) -> Path | None:
    for file in folder.glob("*.whl"):
        name, version = parse_wheel_filename(file.name)[:2]
        if (str(name), str(version)) == (pin.name, pin.version):
            return file
    return None


def _batches(pins: Iterable[Pin]) -> Iterator[list[Pin]]:
    batch: list[Pin] = []
    for pin in pins:
        if batch and sum(each.size or 0 for each in (*batch, pin)) > BATCH_BYTES:
            yield batch
            batch = []
        batch.append(pin)
    if batch:
        yield batch


def _download(pins: Sequence[Pin], folder: Path, target: Target) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as work:
        urls = [f"{pin.url}#sha256={pin.sha256}" for pin in pins]
        _pip("download", "--no-deps", "--no-cache-dir", "--dest", work, *target.pip_options(), *urls)
        for pin in pins:
            file = Path(work) / pin.file
            if not file.is_file() or sha256_of(file) != pin.sha256:
                raise UserError(
                    f"{pin.file} is not what the index said (sha256 {pin.sha256})", "give the command again"
                )
            os.replace(file, folder / pin.file)


def _build_pin(pin: Pin, folder: Path, target: Target, say: Callable[[str], None]) -> Path:
    say(f"  building {pin.name} {pin.version}, which has no wheel for {target}")
    remedy = "give a newer --platform, or pack with the target's Python on such a machine (PYTHON3=/path/to/python3)"
    try:
        with tempfile.TemporaryDirectory(dir=folder) as work:
            wheel = _build(f"{pin.url}#sha256={pin.sha256}", Path(work))
            if target.best([wheel.name]) is None:
                raise UserError(f"the one that was built here is {wheel.name}")
            return Path(shutil.move(wheel, folder / wheel.name))
    except UserError as error:
        raise UserError(f"{pin.name} {pin.version} has no wheel for {target}: {error.problem}", remedy) from None


def _build(source: str, folder: Path) -> Path:
    """Build a wheel, and put it into ``folder`` once it is whole."""
    with tempfile.TemporaryDirectory(dir=folder) as work:
        _pip("wheel", "--no-deps", "--no-cache-dir", "--wheel-dir", work, source)
        (built,) = Path(work).glob("*.whl")
        os.replace(built, folder / built.name)
        return folder / built.name


def _pip(command: str, *arguments: str) -> None:
    done = run_pip(command, *arguments)
    if done.returncode:
        raise UserError(f"pip {command} failed: {last_line(done.stderr)}", "give the command again to go on")
