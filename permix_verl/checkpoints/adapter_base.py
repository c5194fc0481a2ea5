"""Fingerprint of an adapter's base: recorded when the adapter is exported, compared when it is used."""

import hashlib
import json
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError

FINGERPRINT = "base.fingerprint"
"""File in an adapter folder with the base's fingerprint; its suffix keeps it out of the adapter's own fingerprint."""
_SAMPLE = 1024
"""Values hashed of a one-dimensional weight; of any other weight the first row is."""


def weights_fingerprint(model: str) -> str | None:
    """Return a hash of name, shape and first row of every weight, independent of how files split them.

    Args:
        model: folder, or hub name, which is looked up in the local cache only.

    Returns:
        The hash; ``None`` if there are no readable safetensors.
    """
    from safetensors import SafetensorError, safe_open

    pieces = {}
    try:
        for file in _weight_files(model):
            with safe_open(file, framework="pt") as weights:
                for name in weights.keys():  # noqa: SIM118
                    pieces[name] = _sample(weights, name)
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    if not pieces:
        return None
    digest = hashlib.sha256()
    for name in sorted(pieces):
        digest.update(name.encode() + b"\0" + pieces[name])
    return digest.hexdigest()[:16]


def _sample(weights: Any, name: str) -> bytes:
    import torch

    weight = weights.get_slice(name)
    shape = weight.get_shape()
    row = weight[: _SAMPLE if len(shape) == 1 else 1] if shape else weights.get_tensor(name)[None]
    return f"{shape} {row.dtype}\0".encode() + row.contiguous().view(torch.uint8).numpy().tobytes()


def _weight_files(model: str) -> list[Path]:
    """Return the files that transformers would read: those in the index, if there is one."""
    from huggingface_hub import try_to_load_from_cache

    folder = Path(model)
    if not folder.is_dir():
        cached = try_to_load_from_cache(model, "config.json")
        if not isinstance(cached, str):
            return []
        folder = Path(cached).parent
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return [folder / name for name in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else []


def record_base(adapter: Path, base: str) -> None:
    """Write the base's fingerprint into the adapter folder, if it can be computed."""
    fingerprint = weights_fingerprint(base)
    if fingerprint:
        (adapter / FINGERPRINT).write_text(fingerprint + "\n")


def check_base(adapter: Path, base: str, option: str = "--base") -> str | None:
    """Compare a base with the one recorded in the adapter folder.

    Args:
        option: option or setting that names the base, for the remedy.

    Returns:
        A warning if they cannot be compared; ``None`` if it is the recorded base.

    Raises:
        UserError: another base, by its weights or its hub name.
    """
    recorded = str(json.loads((adapter / "adapter_config.json").read_text()).get("base_model_name_or_path") or "")
    file = adapter / FINGERPRINT
    given = weights_fingerprint(base)
    expected = file.read_text().strip() if file.is_file() else weights_fingerprint(recorded) if recorded else None
    remedy = f"give {option} the model that it was trained on"
    if given and expected:
        if given == expected:
            return None
        override = f"remove {file}" if file.is_file() else "change base_model_name_or_path in its adapter_config.json"
        raise UserError(
            f"{adapter} was trained on {recorded or 'another model'} (weights {expected}), but {base} has other "
            f"weights ({given})",
            f"{remedy}, or {override} if this is the same model saved again",
        )
    if recorded == base:
        return None
    if not recorded:
        return f"{adapter} does not record its base, so it cannot be checked against {base}"
    if _is_hub_name(recorded) and _is_hub_name(base):
        raise UserError(
            f"{adapter} was trained on {recorded}, not on {base}",
            f"{remedy}, or change base_model_name_or_path in its adapter_config.json if this is the same model under "
            "another name",
        )
    return (
        f"{adapter} was trained on {recorded}, and {option} is {base}; their weights cannot be compared here, so "
        "check that they are the same model"
    )


def _is_hub_name(model: str) -> bool:
    path = Path(model)
    return not path.is_dir() and not path.is_absolute() and model[:1] not in ".~" and len(path.parts) <= 2
