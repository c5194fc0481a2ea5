"""The log that was named: a file, standard input, or the newest one of a run's folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from permix_verl.errors import UserError

ENDINGS = (".log", ".txt", ".out", ".err")
LOOKED_AT = 8192
"""Bytes at a file's beginning, by which it is text or not."""


@contextmanager
def opened(name: str) -> Iterator[tuple[str, IO[str]]]:
    """The log's path and its lines, from the first; ``-`` is standard input.

    Raises:
        UserError: there is none, or it is no text.
    """
    if name == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace", newline="\n")
        yield "standard input", sys.stdin
        return
    file = newest(Path(name)) if Path(name).is_dir() else Path(name)
    try:
        with file.open("rb") as raw:
            beginning = raw.read(LOOKED_AT)
        # A line ends with \n alone: progress bars are full of \r.
        log = file.open(encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError:
        raise UserError(
            f"--explain {name}: there is no such file; give a log, a run's folder, or - for stdin"
        ) from None
    except OSError as error:
        raise UserError(f"--explain {name}: it cannot be read ({error.strerror}); give a log that can") from None
    with log:
        if b"\0" in beginning:
            raise UserError(f"--explain {name}: this is no text; unpack it, or give the log itself")
        yield str(file), log


def newest(folder: Path) -> Path:
    """The log that was written last: in a run's ``logs``, or in the folder itself.

    Raises:
        UserError: there is none.
    """
    for place in (folder / "logs", folder):
        logs = [file for file in place.glob("*") if file.suffix in ENDINGS and file.is_file()]
        if logs:
            return max(logs, key=lambda file: (file.stat().st_mtime, file.name))
    raise UserError(f"--explain {folder}: no log in it or in its logs/ ({' '.join(ENDINGS)}); give the log itself")
