"""Machine that wheels are packed for: its Python, its architecture, its C library."""

import platform
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from permix_verl.errors import UserError

LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
"""Minor version of glibc 2 -> older name of the platform."""
DEFAULT_GLIBC = 31
"""Minor version of glibc 2 that ``linux_...`` stands for: Ubuntu 20.04, Debian 11 and newer ones."""
PLATFORMS = "linux_x86_64, linux_aarch64, or with the target's glibc: manylinux_2_35_x86_64"


@dataclass(frozen=True)
class Target:
    """Python version and platform.

    Attributes:
        python: major and minor version.
        glibc: minor version of glibc 2.
        machine: ``x86_64`` or ``aarch64``.
    """

    python: tuple[int, int]
    glibc: int
    machine: str

    @property
    def python_version(self) -> str:
        return "{}.{}".format(*self.python)

    @property
    def platform(self) -> str:
        return f"manylinux_2_{self.glibc}_{self.machine}"

    def __str__(self) -> str:
        return f"Python {self.python_version} on {self.platform}"

    def platforms(self) -> list[str]:
        """Return the platform tags that the target takes, the best first."""
        oldest = 5 if self.machine == "x86_64" else 17
        names = [f"manylinux_2_{minor}" for minor in range(self.glibc, oldest - 1, -1)]
        for minor, legacy in LEGACY.items():
            if f"manylinux_2_{minor}" in names:
                names.insert(names.index(f"manylinux_2_{minor}") + 1, legacy)
        return [f"{name}_{self.machine}" for name in (*names, "linux")]

    def ranks(self) -> dict[str, int]:
        """Return the tags of wheels that the target takes -> their rank, 0 for the best."""
        from permix_verl.wheelhouse.packaging_names import compatible_tags, cpython_tags  # unpacking needs no pip

        interpreter, platforms = "cp{}{}".format(*self.python), self.platforms()
        tags = [*cpython_tags(self.python, [interpreter], platforms)]
        tags += compatible_tags(self.python, interpreter, platforms)
        return {str(tag): rank for rank, tag in enumerate(tags)}

    def best(self, files: Iterable[str]) -> str | None:
        """Return the wheel file that the target would install, or ``None`` if it takes none of them."""
        from permix_verl.wheelhouse.packaging_names import parse_wheel_filename

        ranks = self.ranks()
        fitting = {}
        for file in files:
            own = [ranks[str(tag)] for tag in parse_wheel_filename(file)[3] if str(tag) in ranks]
            if own:
                fitting[file] = min(own)
        return min(fitting, key=lambda file: (fitting[file], file)) if fitting else None

    def pip_options(self) -> list[str]:
        """Return the options that make pip download for the target."""
        abi = "cp{}{}".format(*self.python)
        options = ["--python-version", self.python_version, "--implementation", "cp"]
        options += [word for name in (abi, "abi3", "none") for word in ("--abi", name)]
        return options + [word for name in self.platforms() for word in ("--platform", name)]


def parse_target(python: str, platform_tag: str) -> Target:
    """Parse a Python version and a platform.

    Raises:
        UserError: one of them is not of a known form.
    """
    version = re.fullmatch(r"3\.(1[12])(?:\.\d+)?", python)
    if not version:
        raise UserError(f"--python {python}: Python 3.11 or 3.12 is needed", "give the version that the target has")
    found = re.fullmatch(r"(?:linux|manylinux_2_(\d+))_(x86_64|aarch64)", platform_tag)
    if not found:
        raise UserError(f"--platform {platform_tag} is not known", f"give {PLATFORMS}")
    return Target((3, int(version[1])), int(found[1] or DEFAULT_GLIBC), found[2])


def unfit(target: Target) -> str | None:
    """Return why this Python on this machine cannot take wheels for a target, or ``None``."""
    if sys.version_info[:2] != target.python:
        return f"{sys.executable} is Python {platform.python_version()}"
    if platform.machine() != target.machine:
        return f"this machine is {platform.machine()}"
    library, version = platform.libc_ver()
    if library != "glibc" or _numbers(version) < (2, target.glibc):
        return f"this machine has {library or 'a C library other than glibc'} {version}".rstrip()
    return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
