"""Open the log to explain: a file, standard input, or the newest log of a run folder."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from permix_verl.errors import UserError

SUFFIXES = (".log", ".txt", ".out", ".err")
PROBED_BYTES = 8192
"""Bytes at a file's beginning in which a NUL byte marks it as binary."""


@contextmanager
def open_log(name: str) -> Iterator[tuple[str, IO[str]]]:
    """Yield the log's name and its lines; ``-`` is standard input.

    Raises:
        UserError: no such log, or not a text file.
    """
    if name == "-":
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="replace", newline="\n")
        yield "standard input", sys.stdin
        return
    file = newest_log(Path(name)) if Path(name).is_dir() else Path(name)
    try:
        with file.open("rb") as raw:
            beginning = raw.read(PROBED_BYTES)
        # A line ends with \n alone: progress bars are full of \r.
        log = file.open(encoding="utf-8", errors="replace", newline="\n")
    except FileNotFoundError:
        raise UserError(f"--explain {name}: no such file", "give a log, a run's folder, or - for stdin") from None
    except OSError as error:
        raise UserError(f"--explain {name}: not readable ({error.strerror})", "give a readable log") from None
    with log:
        if b"\0" in beginning:
            raise UserError(f"--explain {name}: not a text file", "unpack it, or give the log itself")
        yield str(file), log


def newest_log(folder: Path) -> Path:
    """Return the newest log in a run's ``logs``, or else in the folder itself.

    Raises:
        UserError: no log.
    """
    for parent in (folder / "logs", folder):
        logs = [file for file in parent.glob("*") if file.suffix in SUFFIXES and file.is_file()]
        if logs:
            return max(logs, key=lambda file: (file.stat().st_mtime, file.name))
    raise UserError(f"--explain {folder}: no log in it or in its logs/ ({' '.join(SUFFIXES)})", "give the log itself")
