"""Parts of a wheelhouse: a tar archive, split into files of a given size, with a hash of each."""

import hashlib
import io
import json
import os
import re
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.wheelhouse.manifest import FILE, PINS, Manifest, bad_wheels, parse_manifest, sha256_of, write_whole

LIST = "parts.json"
STEM = "wheelhouse.tar"
SMALLEST = 1_000_000


@dataclass(frozen=True)
class Part:
    """A part on disk; ``size`` is in bytes."""

    file: str
    size: int
    sha256: str


def parse_size(text: str) -> int:
    """Parse a size such as ``60M`` or ``1.5G``, in powers of 1000.

    Raises:
        UserError: it is of another form, or below a megabyte.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)B?", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1000 ** " KMG".index(match[2].upper() or " ")) if match else 0
    if size < SMALLEST:
        raise UserError(f"--parts {text!r} is no size of at least 1M", "give, for example, --parts 60M")
    return size


class _Splitter(io.RawIOBase):
    """A stream that fills one file after another."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self.parts: list[Part] = []
        self._stream: io.BufferedWriter | None = None
        self._hash, self._size = hashlib.sha256(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        view = memoryview(data)
        while view:
            if self._stream is None:
                self._stream = (self.folder / f"{STEM}.{len(self.parts) + 1:04}").open("wb")
                self._hash, self._size = hashlib.sha256(), 0
            piece = view[: self.limit - self._size]
            self._stream.write(piece)
            self._hash.update(piece)
            self._size += len(piece)
            view = view[len(piece) :]
            if self._size == self.limit:
                self.end_part()
        return len(data)

    def end_part(self) -> None:
        if self._stream is not None:
            name = Path(self._stream.name).name
            self._stream.close()
            self._stream = None
            self.parts.append(Part(name, self._size, self._hash.hexdigest()))


def write_parts(wheelhouse: Path, manifest: Manifest, folder: Path, limit: int) -> list[Part]:
    """Write a wheelhouse as parts of at most ``limit`` bytes; the same wheelhouse gives the same bytes.

    The list of the parts is written last, so without it the parts are not whole.
    """
    remove_parts(folder)
    splitter = _Splitter(folder, limit)
    names = [FILE, PINS, *sorted(wheel.file for wheel in manifest.wheels)]
    with tarfile.open(fileobj=splitter, mode="w|", format=tarfile.GNU_FORMAT) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = (wheelhouse / name).stat().st_size
            with (wheelhouse / name).open("rb") as stream:
                archive.addfile(entry, stream)
    splitter.end_part()
    data = {"parts": [asdict(part) for part in splitter.parts]}
    write_whole(folder / LIST, json.dumps(data, indent=1) + "\n")
    return splitter.parts


def remove_parts(folder: Path) -> None:
    """Remove the parts of an earlier packing, their list first."""
    for file in (folder / LIST, *sorted(folder.glob(f"{STEM}.[0-9]*"))):
        file.unlink(missing_ok=True)


def read_parts(folder: Path) -> list[Part]:
    """Read the list of the parts, and check that every part is there and whole.

    Raises:
        UserError: parts are missing or damaged; all of them are named.
    """
    try:
        parts = [Part(**part) for part in json.loads((folder / LIST).read_text())["parts"]]
        if not parts or any(Path(part.file).name != part.file for part in parts):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{folder / LIST} is damaged", "copy it again from where it was packed") from None
    files = [(part, folder / part.file) for part in parts]
    missing = [part.file for part, file in files if not file.is_file()]
    if missing:
        what = f"{len(missing)} of {len(parts)} parts are missing in {folder}: {_names(missing)}"
        raise UserError(what, "copy them from where they were packed")
    damaged = [part.file for part, file in files if file.stat().st_size != part.size or sha256_of(file) != part.sha256]
    if damaged:
        what = f"{len(damaged)} of {len(parts)} parts in {folder} are damaged: {_names(damaged)}"
        raise UserError(what, "copy them again from where they were packed")
    return parts


def _names(files: Sequence[str]) -> str:
    return ", ".join(files[:8]) + (f" and {len(files) - 8} more" if len(files) > 8 else "")


class _Joiner(io.RawIOBase):
    """A stream that reads one file after another."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = list(files)
        self._stream: io.BufferedReader | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        while self._stream is not None or self._files:
            if self._stream is None:
                self._stream = self._files.pop(0).open("rb")
            if count := self._stream.readinto(buffer):
                return count
            self._stream.close()
            self._stream = None
        return 0


def join_parts(folder: Path, parts: Sequence[Part], out: Path) -> Manifest:
    """Unpack the parts into a folder, and check every wheel.

    Raises:
        UserError: the archive does not hold what its manifest says.
    """
    stream: io.BufferedReader[Any] = io.BufferedReader(_Joiner([folder / part.file for part in parts]), 1 << 20)
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for entry in archive:
                source = archive.extractfile(entry)
                if source is None or Path(entry.name).name != entry.name:
                    raise tarfile.TarError
                with (out / entry.name).open("wb") as target:
                    while block := source.read(1 << 20):
                        target.write(block)
        manifest = parse_manifest((out / FILE).read_bytes(), f"{FILE} in the parts of {folder}")
    except (tarfile.TarError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # a full disk
            raise UserError(
                f"cannot unpack into {out}: {os.strerror(error.errno)}", "make room, or give --to"
            ) from None
        raise UserError(f"the parts in {folder} are no archive of a wheelhouse", "pack again") from None
    if bad := next(bad_wheels(out, manifest), None):
        raise UserError(f"the parts in {folder} do not hold what their manifest says: {bad}", "pack again")
    return manifest
