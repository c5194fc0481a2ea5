"""What a model is, so that results of two models never share a folder.

A hub model is its name; a folder is a fingerprint of its files, so that it may be
moved or renamed. Weights are sampled, not read whole: sizes, and the ends of every file.
"""

import hashlib
import json
from pathlib import Path

from permix_verl.errors import UserError

_ENDS = 1 << 20


def model_identity(model: str) -> dict[str, str]:
    """Name and fingerprint of a model: a folder, or a hub name.

    Raises:
        UserError: a path that is not there, or a folder without ``config.json``.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(f"model folder {model} has no config.json; give the folder that holds it, or a hub name")
        return {"name": path.resolve().name, "fingerprint": fingerprint(path)}
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise UserError(f"no model folder {model!r}; give a folder, or a hub name such as Qwen/Qwen3-4B")
    return {"name": model, "fingerprint": f"hub:{model}"}


def adapter_identity(adapter: str) -> dict[str, str]:
    """Name and fingerprint of a PEFT adapter folder.

    Raises:
        UserError: not such a folder.
    """
    path = Path(adapter).expanduser()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        if not (path / name).is_file():
            raise UserError(f"adapter {adapter!r} has no {name}; give the folder of a PEFT adapter")
    return {"name": path.resolve().name, "fingerprint": fingerprint(path)}


def fingerprint(folder: Path) -> str:
    """Hash over the files that decide what a model says: their names, sizes, and first and last mebibyte."""
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
    """Refuse an adapter that was trained on another base model.

    Told by the base that its config names, where both can be compared, and by the shapes of its
    weights against the model's, which need no weights.

    Raises:
        UserError: another base.
    """
    config = json.loads((Path(adapter) / "adapter_config.json").read_text())
    base = str(config.get("base_model_name_or_path") or "")
    remedy = "give the model that it was trained on, or another adapter"
    if base and base != model and _differ(base, model):
        raise UserError(f"adapter {adapter} was trained on {base}, not on {model}; {remedy}")
    shapes = _module_shapes(model)
    for name, shape in _adapter_shapes(Path(adapter)).items():
        module, _, side = name.removesuffix(".weight").rpartition(".lora_")
        module = module.removeprefix("base_model.model.")
        if module not in shapes:
            raise UserError(f"adapter {adapter} has weights for {module}, which {model} has not; {remedy}")
        out_features, in_features = shapes[module]
        wanted, found = (in_features, shape[1]) if side == "A" else (out_features, shape[0])
        if wanted != found:
            raise UserError(f"adapter {adapter} does not fit {model}: {module} has {wanted}, not {found}; {remedy}")


def _differ(base: str, model: str) -> bool:
    folders = [Path(name).expanduser() for name in (base, model)]
    if all(folder.is_dir() for folder in folders):
        return fingerprint(folders[0]) != fingerprint(folders[1])
    # A hub name and a folder cannot be compared by name: the shapes must do.
    return not any(folder.is_dir() or folder.is_absolute() for folder in folders)


def _adapter_shapes(adapter: Path) -> dict[str, list[int]]:
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="np") as weights:
        return {name: weights.get_slice(name).get_shape() for name in weights.keys() if ".lora_" in name}  # noqa: SIM118


def _module_shapes(model: str) -> dict[str, tuple[int, int]]:
    """(out, in) of every linear layer, from the configuration alone."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        empty = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(model))
    return {
        name: (module.out_features, module.in_features)
        for name, module in empty.named_modules()
        if isinstance(module, torch.nn.Linear)
    }
