"""LoRA adapter that training starts from (INIT_ADAPTER): its settings and layers, and checks that refuse other kinds.

python -m permix_verl.runs.given_adapter ADAPTER     # rank, alpha and modules, for the recipes

Settings in PEFT's ``adapter_config.json`` that training would silently lose or change are refused.
"""

import argparse
import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from permix_verl.errors import UserError, exit_with_message
from permix_verl.runs.adapter_keys import refuse_named_keys
from permix_verl.utils.console import permix_command

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_HANDLED_KEYS = (
    *("r", "lora_alpha", "target_modules", "peft_type", "task_type", "init_lora_weights"),
    # Training has its own dropout and its own base.
    *("lora_dropout", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version"),
    # How it was initialized, and settings of features that are off.
    *("eva_config", "loftq_config", "megatron_core", "qalora_group_size", "runtime_config"),
    # The layers are read from the weights.
    *("exclude_modules", "layers_to_transform", "layers_pattern"),
)
"""Configuration keys that are read here, or that do not change what the weights do."""
_INITS_WITH_PLAIN_BASE = (True, False, None, "gaussian", "eva", "orthogonal")
"""``init_lora_weights`` that leave the base unchanged; PiSSA, OLoRA, LoftQ and others change it."""
_MAX_SHOWN = 3


@dataclass(frozen=True, slots=True)
class GivenAdapter:
    """Adapter folder that training can start from.

    Attributes:
        path: PEFT's folder.
        rank: LoRA rank of every layer.
        alpha: LoRA alpha; every layer's scale is alpha / rank.
        modules: last name parts of the linear layers that it has weights for, such as ``q_proj``.
        listed_modules: ``target_modules`` of its configuration; empty if that is not a list.
    """

    path: Path
    rank: int
    alpha: int
    modules: tuple[str, ...]
    listed_modules: tuple[str, ...] = ()


def read_given_adapter(path: Path) -> GivenAdapter:
    """Read an adapter's settings and the names of its weights, without torch.

    Raises:
        UserError: no adapter, an unreadable one, or one with settings that training would not keep.
    """
    if not (path / CONFIG).is_file():
        raise UserError(
            f"INIT_ADAPTER={path} is not an adapter: it has no {CONFIG}",
            "give a PEFT folder, such as runs/NAME/adapter, or download it first (hf download)",
        )
    try:
        config = json.loads((path / CONFIG).read_text())
    except ValueError as error:
        raise UserError(f"{path / CONFIG} is not JSON ({error})", "copy the adapter again") from None
    _refuse_kind(path, config)
    alpha, rank = config.get("lora_alpha"), config.get("r")
    if not isinstance(rank, int) or rank < 1:
        raise UserError(f"{path / CONFIG} has r={rank}", "give an adapter with a rank of 1 or more")
    if not isinstance(alpha, int | float) or alpha <= 0 or alpha != int(alpha):
        raise UserError(
            f"{path / CONFIG} has lora_alpha={alpha}, but verl records an integer of 1 or more",
            "multiply it, and divide the weights lora_B by the same number",
        )
    listed = config.get("target_modules")
    return GivenAdapter(path, rank, int(alpha), _modules(path), tuple(listed) if isinstance(listed, list) else ())


def _refuse_kind(path: Path, config: Mapping[str, Any]) -> None:
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA" or task not in ("CAUSAL_LM", None):
        raise UserError(
            f"{path} has peft_type={kind}, task_type={task}", "training starts from LORA with CAUSAL_LM only"
        )
    if config.get("init_lora_weights", True) not in _INITS_WITH_PLAIN_BASE:
        raise UserError(
            f"{path} has init_lora_weights={config['init_lora_weights']}: its initialization changed the base, so it "
            "does not fit the plain one",
            "save it with PEFT's path_initial_model_for_weight_conversion, and give that",
        )
    # Any other PEFT setting: null, false, empty or "none" if it is off.
    more = {key: value for key, value in config.items() if key not in _HANDLED_KEYS and value and value != "none"}
    if more:
        shown = ", ".join(f"{key}={value}" for key, value in list(more.items())[:_MAX_SHOWN])
        raise UserError(
            f"{path} has {shown}, which training here does not support",
            "merge it into its base and train on that with MODEL=MERGED: "
            f"{permix_command()} merge --base MODEL --adapter {path} --out MERGED",
        )


def _modules(path: Path) -> tuple[str, ...]:
    """Return the last name parts of the layers, from the names of the weights."""
    names = [name for name, *_ in iter_weights(path)]
    refuse_named_keys(names, path)
    other = [name for name in names if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if other or not names:
        raise UserError(
            f"{path / WEIGHTS} holds {other[0] if other else 'no weights'}, but training starts only from LoRA "
            "weights of linear layers",
            "merge it into its base (permix merge) and train on that",
        )
    return tuple(sorted({name.rsplit(".", 3)[1] for name in names}))


def iter_weights(path: Path) -> Iterator[tuple[str, str, list[int], int, int]]:
    """Yield (name, data type, shape, first byte, end byte) of every weight, sorted by name; bytes count from the file's
    beginning.

    Raises:
        UserError: no weight file, or not a complete safetensors file.
    """
    file = path / WEIGHTS
    if not file.is_file():
        raise UserError(f"{path} has no {WEIGHTS}", "load it with PEFT and save it with save_pretrained")
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, size)))
        header.pop("__metadata__", None)
        weights = [
            (name, entry["dtype"], entry["shape"], *(8 + length + offset for offset in entry["data_offsets"]))
            for name, entry in sorted(header.items())
        ]
        if max((end for *_, end in weights), default=0) > size:
            raise ValueError("truncated")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} cannot be read ({error or 'not safetensors'})", "copy the adapter again") from None
    yield from weights


def fingerprint(path: Path) -> str:
    """Return a hash of rank, alpha and all weights; a copy with another dropout or base path has the same."""
    given = read_given_adapter(path)
    digest = hashlib.sha256(f"{given.rank} {given.alpha}\0".encode())
    with (path / WEIGHTS).open("rb") as stream:
        for name, dtype, shape, begin, end in iter_weights(path):
            digest.update(f"{name} {dtype} {shape}\0".encode())
            stream.seek(begin)
            digest.update(stream.read(end - begin))
    return digest.hexdigest()[:16]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("adapter", type=Path)
    given = read_given_adapter(parser.parse_args(argv).adapter)
    print(given.rank, given.alpha, f"[{','.join(given.modules)}]")


if __name__ == "__main__":
    exit_with_message(main)
