"""Resolve the project's requirements for another machine, with uv: markers, wheels and what the target has count."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from permix_verl.errors import UserError
from permix_verl.wheelhouse.indexes import find_uv, index_requirements, pip_settings, uv_environment, uv_options
from permix_verl.wheelhouse.installed import Installed
from permix_verl.wheelhouse.packaging_names import Version, canonicalize_name
from permix_verl.wheelhouse.target import Target


@dataclass(frozen=True)
class Pin:
    """A resolved package and the file that would be fetched for it.

    Attributes:
        url: of the wheel that fits the target best or, where none does, of the sources.
        size: bytes; ``None`` if the index does not say.
    """

    name: str
    version: str
    url: str
    sha256: str
    size: int | None

    @property
    def file(self) -> str:
        return unquote(urlsplit(self.url).path.rsplit("/", 1)[-1])

    @property
    def is_wheel(self) -> bool:
        return self.file.endswith(".whl")


class Resolver:
    """uv's resolution of the project's requirements for one target.

    Args:
        work: folder for its files.
        have: packages of the target; their versions are kept where the requirements allow it.
    """

    def __init__(self, work: Path, target: Target, have: Mapping[str, Installed]) -> None:
        self.work, self.target, self.have = work, target, have
        self.settings = pip_settings()
        self.uv = find_uv(work)

    def resolve(
        self, pyproject: Path, extras: Sequence[str], also: Iterable[str] = (), without: Iterable[str] = ()
    ) -> list[Pin]:
        """Resolve the requirements of the project with some extras.

        Args:
            also: more requirements.
            without: packages to leave out, with what nothing else requires.

        Returns:
            A pin for every package, by name.

        Raises:
            UserError: no set of versions fits; the first of uv's reasons is quoted.
        """
        lock, asked, excludes = (self.work / name for name in ("pylock.toml", "also.txt", "without.txt"))
        lock.write_text(self._preferences())
        asked.write_text("".join(f"{line}\n" for line in also))
        excludes.write_text("".join(f"{name}\n" for name in without))
        command = [self.uv, "pip", "compile", "--quiet", "--no-header", "--color", "never", "--no-progress"]
        command += ["--python", sys.executable, "--python-version", self.target.python_version]
        command += ["--python-platform", f"{self.target.machine}-manylinux_2_{self.target.glibc}"]
        command += ["--format", "pylock.toml", "--output-file", str(lock), "--excludes", str(excludes)]
        command += [*uv_options(self.settings), "--find-links", str(self._stand_ins())]
        command += [word for extra in extras for word in ("--extra", extra)]
        command += [str(pyproject), str(asked)]
        # The CPU build of torch from pip's own indexes, else from PyTorch's: the order of setup_env.sh.
        ways = [[], ["--torch-backend", "cpu"]] if "cpu" in extras else [[]]
        reasons = []
        for way in ways:
            done = subprocess.run([*command, *way], capture_output=True, text=True, env=uv_environment(self.settings))
            if done.returncode == 0:
                break
            reasons.append(_reason(done.stderr))
        else:
            what = f"the extras {', '.join(extras)} have no set of versions for {self.target}"
            raise UserError(f"{what}: {reasons[0]}", "give another --python, --platform or --have")
        packages = tomllib.loads(lock.read_text()).get("packages", ())
        return sorted((self._pin(package) for package in packages), key=lambda pin: pin.name)

    def _preferences(self) -> str:
        """Return a lock file with the target's versions: uv keeps those that fit."""
        if not self.have:
            return 'lock-version = "1.0"\ncreated-by = "permix-verl"\npackages = []\n'
        lines = [
            'lock-version = "1.0"',
            'created-by = "permix-verl"',
            f'requires-python = ">={self.target.python_version}"',
        ]
        for name, package in sorted(self.have.items()):
            lines += ["[[packages]]", f'name = "{name}"', f'version = "{package.version}"']
        return "\n".join(lines) + "\n"

    def _stand_ins(self) -> Path:
        """Write an empty wheel for every package of the target whose version has a local label, such as +cu130.

        No index need have such a build. Its requirements are those that the target's list gives, else those of the
        same version without the label on the packages that the target has; all others count as met there.
        """
        folder = self.work / "stand-ins"
        folder.mkdir(exist_ok=True)
        for file in folder.glob("*.whl"):
            file.unlink()
        for name, package in self.have.items():
            if "+" in package.version:
                requires = package.requires or self._public_requirements(name, package.version)
                stem = f"{name.replace('-', '_')}-{package.version}"
                lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {package.version}"]
                lines += [f"Requires-Dist: {requirement}" for requirement in requires]
                with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
                    wheel.writestr(f"{stem}.dist-info/METADATA", "\n".join(lines) + "\n")
                    wheel.writestr(f"{stem}.dist-info/WHEEL", _WHEEL)
                    wheel.writestr(f"{stem}.dist-info/RECORD", "")
        return folder

    def _public_requirements(self, name: str, version: str) -> list[str]:
        cached = self.work / f"{name}-{version}.json"
        if not cached.is_file():
            found = index_requirements(name, version.partition("+")[0], self.target.pip_options())
            cached.write_text(json.dumps(found))
        stated = json.loads(cached.read_text())
        return [text for text in stated if canonicalize_name(_NAME.match(text)[0]) in self.have]  # type: ignore[index]

    def _pin(self, package: Mapping[str, Any]) -> Pin:
        """Choose the file of a package in uv's lock."""
        wheels = {_file_name(entry): entry for entry in package.get("wheels", ())}
        best = self.target.best(wheels)
        entry = wheels[best] if best else package.get("sdist")
        name, version = canonicalize_name(package["name"]), str(package.get("version", ""))
        if entry is None:
            raise UserError(
                f"{name} {version} has neither a wheel for {self.target} nor sources", "give another --platform"
            )
        url = _url(entry)
        size = entry.get("size")
        if size is None and url.startswith("file:"):
            size = os.path.getsize(unquote(urlsplit(url).path))
        return Pin(name, version, url, entry["hashes"]["sha256"], size)


def _reason(said: str) -> str:
    """Return the first reason that uv gives."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    found = next((line for line in lines if "ecause" in line), " ".join(lines[:2]))
    return found.removeprefix("cause: ").rstrip(".")


_NAME = re.compile(r"[\w.-]+")
_WHEEL = "Wheel-Version: 1.0\nGenerator: permix-verl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def _url(entry: Mapping[str, Any]) -> str:
    return str(entry["url"]) if "url" in entry else Path(entry["path"]).resolve().as_uri()


def _file_name(entry: Mapping[str, Any]) -> str:
    return unquote(urlsplit(_url(entry)).path.rsplit("/", 1)[-1])


def is_kept(pin: Pin, have: Mapping[str, Installed]) -> bool:
    """Return True if the target has exactly the version that the resolution takes, local label included."""
    return pin.name in have and Version(have[pin.name].version) == Version(pin.version)
