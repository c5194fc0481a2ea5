"""Identity of models and adapters, so that results of two models never share a folder.

A hub model is identified by its name, a folder by a fingerprint of its files, so that it may be moved or renamed. The
fingerprint covers the sizes and both ends of the weight files, not all of their bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from permix_verl.errors import UserError, first_line
from permix_verl.runs.adapter_keys import check_keys, refuse_named_keys
from permix_verl.utils.console import permix_command

_ENDS = 1 << 20


def model_identity(model: str) -> dict[str, str]:
    """Return name and fingerprint of a model.

    Args:
        model: folder, or hub name.

    Raises:
        UserError: a missing folder, or a folder without ``config.json``.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"model folder {model} has no config.json", "give the folder that holds it, or a hub name")
        return {"name": path.resolve().name, "fingerprint": fingerprint(path)}
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise UserError(f"no model folder {model!r}", "give a folder, or a hub name such as Qwen/Qwen3-4B")
    return {"name": model, "fingerprint": f"hub:{model}"}


def adapter_identity(adapter: str) -> dict[str, str]:
    """Return name and fingerprint of a PEFT adapter folder.

    Raises:
        UserError: not a PEFT adapter folder.
    """
    path = Path(adapter).expanduser()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (path / name).is_file():
            raise UserError(f"adapter {adapter!r} has no {name}", "give the folder of a PEFT adapter")
    return {"name": path.resolve().name, "fingerprint": fingerprint(path)}


def fingerprint(folder: Path) -> str:
    """Return a hash of the names, sizes, and first and last MiB of a model's files, 16 hex digits."""
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        if file.suffix not in (".json", ".safetensors", ".bin", ".jinja", ".model", ".txt") or not file.is_file():
            continue
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(_ENDS))
            if size > _ENDS:
                stream.seek(max(_ENDS, size - _ENDS))
                digest.update(stream.read())
    return digest.hexdigest()[:16]


def check_adapter_fits(adapter: str, model: str) -> None:
    """Check that an adapter was trained on this base model, and that vLLM serves it as it was trained.

    Compares the base named in its configuration, where possible, and the names and shapes of its weights with the
    model's. No weights are loaded.

    Raises:
        UserError: another base, an adapter of experts, or keys that PEFT or vLLM do not read.
    """
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    base = str(config.get("base_model_name_or_path") or "")
    if base and base != model and _differ(base, model):
        raise UserError(
            f"adapter {adapter} was trained on {base}, not on {model}",
            "give the model that it was trained on, or another adapter",
        )
    shapes = _adapter_shapes(Path(adapter))
    refuse_named_keys(shapes, Path(adapter))
    if expert := next((name for name in shapes if ".experts." in name), None):
        raise UserError(
            f"adapter {adapter} adapts experts ({expert}), which vLLM reads in another form and may ignore",
            "give the merged model as --model: "
            f"{permix_command()} merge --base {model} --adapter {adapter} --out MERGED",
        )
    _check_weight_names(Path(adapter), model, shapes)


def _check_weight_names(adapter: Path, model: str, shapes: Mapping[str, Sequence[int]]) -> None:
    import torch
    from peft import PeftConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
        weights = {name: torch.empty(tuple(shape)) for name, shape in shapes.items()}
    try:
        tuned = get_peft_model(empty, PeftConfig.from_pretrained(str(adapter)))
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"adapter {adapter} does not fit {model} ({first_line(error)})",
            "give the model that it was trained on, or another adapter",
        ) from None
    check_keys(tuned, weights, adapter, model, option="--model")


def _differ(base: str, model: str) -> bool:
    folders = [Path(name).expanduser() for name in (base, model)]
    if all(folder.is_dir() for folder in folders):
        return fingerprint(folders[0]) != fingerprint(folders[1])
    # A hub name and a folder cannot be compared by name, only by shapes.
    return not any(folder.is_dir() or folder.is_absolute() for folder in folders)


def _adapter_shapes(adapter: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="np") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118
