"""Files that are whole or not there, and locks that end with their process."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from permix_verl.errors import UserError


@contextlib.contextmanager
def hold(lock_file: Path, refusal: str) -> Iterator[None]:
    """Hold a lock for as long as the block runs; it goes with the process, however that ends.

    Raises:
        UserError: ``refusal``, where another process holds it.
    """
    with lock_file.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        yield


def write_whole(path: Path, text: str) -> None:
    """Write a text file in one move."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text)
    os.replace(partial, path)


def check_folder(folder: Path) -> None:
    """Refuse an ``--out`` in which nothing can be written, before the work is done.

    Raises:
        UserError: it is a file, or lies in one.
    """
    for path in (folder, *folder.parents):
        if path.exists() and not path.is_dir():
            raise UserError(f"cannot write to --out {folder}: {path} is a file; give a folder")


def write_folder(folder: Path, texts: Mapping[str, str]) -> None:
    """Write files into a folder beside this one, then move each into place; other files in it stay.

    Args:
        texts: file name -> what it holds; written as UTF-8.

    Raises:
        UserError: the folder cannot be written to.
    """
    check_folder(folder)
    folder = folder.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; give another --out") from error
    try:
        for name, text in texts.items():
            (partial / name).write_bytes(text.encode("utf-8"))
        for name in texts:
            os.replace(partial / name, folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cut_torn_line(file: Path) -> None:
    """Remove what stands behind the last line end: what a killed process had half written."""
    with file.open("rb+") as stream:
        end = stream.seek(0, os.SEEK_END)
        position = end
        while position > 0:
            step = min(1 << 16, position)
            stream.seek(position - step)
            found = stream.read(step).rfind(b"\n")
            if found >= 0:
                position += found + 1 - step
                break
            position -= step
        if position < end:
            stream.truncate(position)


@contextlib.contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write ``train.parquet``, ``val.parquet`` and ``manifest.json`` in; they move to ``out`` at the end.

    The manifest last: a folder with a manifest is whole. An error leaves ``out`` as it was.
    """
    partial = out / ".partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        (out / "manifest.json").unlink(missing_ok=True)
        for name in ("train.parquet", "val.parquet", "manifest.json"):
            os.replace(partial / name, out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def file_sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
