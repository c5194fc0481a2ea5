"""Files that are whole or not there, and locks that end with their process."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
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
