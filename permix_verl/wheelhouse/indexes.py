"""Index settings of pip, handed on to uv, and uv itself."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.errors import UserError

SECTIONS = ("global", "install", ":env:")
"""Sections of ``pip config list`` that count, the later before the earlier ones."""


def pip_settings() -> dict[str, str]:
    """Return pip's settings for an installation, from its files and the environment.

    Raises:
        UserError: this Python has no pip.
    """
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{sys.executable} has no pip that works", "set PYTHON3=/path/to/a/python3 with pip")
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        section, _, option = key.partition(".")
        if section in found and value:
            found[section][option] = str(ast.literal_eval(value))
    return found["global"] | found["install"] | found[":env:"]


def uv_options(settings: Mapping[str, str]) -> list[str]:
    """Return uv's options for pip's settings: indexes, folders of wheels, constraints.

    pip takes the best file from all indexes. uv takes the best version and, where several indexes have it, the files of
    the first index alone; its default index comes last. So pip's main index is made the first one: a partial mirror
    beside it would hide the files that it lacks.
    """
    main = settings.get("index-url") or default_index()
    indexes = [*([main] if main else []), *settings.get("extra-index-url", "").split()]
    options = ["--index-strategy", "unsafe-best-match"]
    options += [word for index in indexes[:-1] for word in ("--index", index)]
    options += [word for index in indexes[-1:] for word in ("--default-index", index)]
    several = {"find-links": "--find-links", "constraint": "--constraints", "trusted-host": "--allow-insecure-host"}
    for ours, theirs in several.items():
        options += [word for value in settings.get(ours, "").split() for word in (theirs, value)]
    return [*options, "--no-index"] if settings.get("no-index", "").lower() in ("1", "true", "yes", "on") else options


def default_index() -> str | None:
    """Return the index that pip asks where none is set, as its help names it."""
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--help"], capture_output=True, text=True)
    found = re.search(r"--index-url <url>.*?\(default:? (\S+)\)", " ".join(done.stdout.split()))
    return found[1] if found else None


def index_requirements(name: str, version: str, pip_options: Sequence[str]) -> list[str]:
    """Return the requirements of a package as pip finds them on its indexes, from metadata alone where they have it.

    Args:
        pip_options: options that name another machine.

    Returns:
        Requirements in the form of ``Requires-Dist``; empty if no index has this version for the machine.
    """
    arguments = [
        "--dry-run",
        "--no-deps",
        "--ignore-installed",
        "--only-binary=:all:",
        "--target",
        os.path.join(os.devnull, "none"),
        "--report",
        "-",
        *pip_options,
    ]
    done = run_pip("install", *arguments, f"{name}=={version}")
    if done.returncode:
        return []
    report, _ = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("{") :])
    return [text for each in report["install"] for text in each["metadata"].get("requires_dist", ())]


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for uv, with pip's certificates unless it has its own."""
    certificates = {"SSL_CERT_FILE": settings["cert"]} if "cert" in settings else {}
    return certificates | dict(os.environ)


def find_uv(work: Path) -> str:
    """Return the path of uv; install it into the work folder if it is not on PATH.

    Raises:
        UserError: it cannot be installed.
    """
    if found := shutil.which("uv"):
        return found
    own = work / "uv"
    if not (own / "bin" / "uv").is_file():
        done = run_pip("install", "--target", str(own), "uv")
        if done.returncode:
            raise UserError(f"cannot install uv: {last_line(done.stderr or done.stdout)}", "put uv on PATH")
    return str(own / "bin" / "uv")


def run_pip(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a quiet command of this Python's pip."""
    return subprocess.run(
        [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
    )


def last_line(text: str) -> str:
    """Return the last line of a command's output that says something."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1] if lines else "")
