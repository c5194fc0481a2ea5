"""Packages that a machine has already: the output of ``pip list``, ``pip freeze`` or ``pip inspect`` there."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError
from permix_verl.wheelhouse.packaging_names import canonicalize_name

_PIN = re.compile(r"([\w.-]+)(?:={2,3}| \()([^\s;)]+)\)?$")
_REFERENCE = re.compile(r"([\w.-]+) @ (\S+)$")
_WHEEL = re.compile(r"[^/]+?-([^-/]+)(?:-\d[^-/]*)?-[^-/]+-[^-/]+-[^-/]+\.whl")


@dataclass(frozen=True)
class Installed:
    """A package of the target.

    Attributes:
        requires: its own requirements, where the list has them (``pip inspect``).
    """

    version: str
    requires: tuple[str, ...] = ()


def read_installed(file: Path) -> dict[str, Installed]:
    """Read a list of packages.

    Args:
        file: output of ``pip list`` (also with ``--format json`` or ``freeze``), ``pip freeze`` or ``pip inspect``.

    Returns:
        Normalized name -> package. Packages without a version of their own (a URL, an editable one) are left out.

    Raises:
        UserError: the file cannot be read, or is in none of these formats.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read --have {file}: {error}", _REMEDY) from None
    found = _from_json(text, file) if text.lstrip()[:1] in ("[", "{") else _from_lines(text, file)
    if not found:
        raise UserError(f"--have {file} names no package", _REMEDY)
    return {canonicalize_name(name): package for name, package in found.items()}


_REMEDY = "give what python -m pip inspect (or list, or freeze) prints on the target"


def _from_json(text: str, file: Path) -> dict[str, Installed]:
    try:
        data: Any = json.loads(text)
        if isinstance(data, list):
            return {row["name"]: Installed(row["version"]) for row in data}
        packages = [row["metadata"] for row in data["installed"]]
        return {row["name"]: Installed(row["version"], tuple(row.get("requires_dist", ()))) for row in packages}
    except (ValueError, TypeError, KeyError):
        raise UserError(f"--have {file} is JSON, and no list of packages", _REMEDY) from None


def _from_lines(text: str, file: Path) -> dict[str, Installed]:
    found: dict[str, Installed] = {}
    columns = False
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        words = line.split()
        if not words or line.startswith(("#", "-e ", "--", "WARNING", "[notice]")):
            continue
        if words[:2] == ["Package", "Version"]:
            columns = True
        elif columns and len(words) >= 2:
            found[words[0]] = Installed(words[1])
        elif match := _PIN.match(line):
            found[match[1]] = Installed(match[2])
        elif match := _REFERENCE.match(line):
            if wheel := _WHEEL.search(match[2]):
                found[match[1]] = Installed(wheel[1].replace("%2B", "+"))
        else:
            raise UserError(f"--have {file}, line {number}: {line[:80]!r} is no package", _REMEDY)
    return found
