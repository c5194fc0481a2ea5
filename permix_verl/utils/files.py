"""Atomic file writes and process-scoped file locks."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import filelock

from permix_verl.errors import UserError


@contextlib.contextmanager
def file_lock(lock_file: Path, problem: str, remedy: str) -> Iterator[None]:
    """Hold a lock while the block runs; the kernel releases it when the process ends, however it ends.

    Raises:
        UserError: ``problem`` and ``remedy``, if another process holds the lock.
    """
    lock = filelock.FileLock(lock_file)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        raise UserError(problem, remedy) from None
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` to write to; rename it to ``path`` if the block succeeds."""
    partial = path.with_name(path.name + ".partial")
    yield partial
    os.replace(partial, path)


def write_atomic(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_file(path) as partial:
        partial.write_text(text)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder`` to fill; it replaces ``folder`` if the block succeeds."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)


def check_folder(folder: Path) -> None:
    """Refuse an ``--out`` that cannot be a folder, before the work is done.

    Raises:
        UserError: the path or one of its parents is a file.
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise UserError(f"cannot write to --out {folder}: {path} is a file", "give a folder")


def write_files_atomic(folder: Path, texts: Mapping[str, str]) -> None:
    """Write all files into a temporary folder beside ``folder``, then move each into place; other files in it stay.

    Args:
        texts: file name -> content, written as UTF-8.

    Raises:
        UserError: the folder cannot be written to.
    """
    check_folder(folder)
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}", "give another --out") from error
    try:
        for name, text in texts.items():
            (partial / name).write_bytes(text.encode("utf-8"))
        for name in texts:
            os.replace(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def drop_partial_last_line(file: Path) -> None:
    """Truncate a file after its last line end: a killed process may have left half a line."""
    with file.open("rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            step = min(1 << 16, position)
            stream.seek(position - step)
            newline = stream.read(step).rfind(b"\n")
            if newline >= 0:
                position += newline + 1 - step
                break
            position -= step
        if position < end:
            stream.truncate(position)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
