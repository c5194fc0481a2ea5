"""A LoRA adapter that training goes on from (INIT_ADAPTER): what it is, and whether training can go on from it exactly.

python -m permix_verl.runs.given_adapter ADAPTER     # rank, alpha and modules, for the recipes

What training would lose or change in silence is refused by its name in PEFT's ``adapter_config.json``.
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

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_KNOWN = (
    *("r", "lora_alpha", "target_modules", "peft_type", "task_type", "init_lora_weights"),
    # Training has its own dropout and its own base.
    *("lora_dropout", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping", "peft_version"),
    # How it was begun, and settings of what is off.
    *("eva_config", "loftq_config", "megatron_core", "qalora_group_size", "runtime_config"),
    # The layers that it sits on are read from its weights.
    *("exclude_modules", "layers_to_transform", "layers_pattern"),
)
"""Keys of the configuration that are looked at, or that say nothing about what the weights do."""
_BASE_IS_KEPT = (True, False, None, "gaussian", "eva", "orthogonal")
"""``init_lora_weights`` that leave the base as it was; PiSSA, OLoRA, LoftQ and others train upon a changed one."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class GivenAdapter:
    """An adapter folder that training can go on from.

    Attributes:
        path: PEFT's folder.
        rank: of every layer.
        alpha: every layer's scale is alpha / rank.
        modules: names of the linear layers that it has weights for, without what leads to them.
        listed: those that its configuration lists; empty where that has another way to say it.
    """

    path: Path
    rank: int
    alpha: int
    modules: tuple[str, ...]
    listed: tuple[str, ...] = ()


def read_given(path: Path) -> GivenAdapter:
    """Read an adapter's settings and the names of its weights; without torch.

    Raises:
        UserError: no adapter, one that cannot be read, or one of a kind that training would not go on from exactly.
    """
    if not (path / CONFIG).is_file():
        raise UserError(
            f"INIT_ADAPTER={path} is no adapter: no {CONFIG} there; give a PEFT folder, such as runs/NAME/adapter, or "
            "download it first (hf download)"
        )
    try:
        config = json.loads((path / CONFIG).read_text())
    except ValueError as error:
        raise UserError(f"{path / CONFIG} is no JSON ({error}); copy the adapter again") from None
    _refuse_kind(path, config)
    alpha, rank = config.get("lora_alpha"), config.get("r")
    if not isinstance(rank, int) or rank < 1:
        raise UserError(f"{path / CONFIG} has r={rank}; a rank of 1 or more is what training goes on with")
    if not isinstance(alpha, int | float) or alpha <= 0 or alpha != int(alpha):
        raise UserError(
            f"{path / CONFIG} has lora_alpha={alpha}, and verl records a whole number of 1 or more; multiply it, and "
            "divide the weights lora_B by the same number"
        )
    listed = config.get("target_modules")
    return GivenAdapter(path, rank, int(alpha), _modules(path), tuple(listed) if isinstance(listed, list) else ())


def _refuse_kind(path: Path, config: Mapping[str, Any]) -> None:
    kind, task = config.get("peft_type"), config.get("task_type")
    if kind != "LORA" or task not in ("CAUSAL_LM", None):
        raise UserError(f"{path} has peft_type={kind}, task_type={task}; training goes on from LORA of CAUSAL_LM only")
    if config.get("init_lora_weights", True) not in _BASE_IS_KEPT:
        raise UserError(
            f"{path} has init_lora_weights={config['init_lora_weights']}: it belongs to a base that was changed when "
            "it was begun; save it with PEFT's path_initial_model_for_weight_conversion, and give that"
        )
    # Whatever else PEFT has, or will have: off it is null, false, empty or "none".
    more = {key: value for key, value in config.items() if key not in _KNOWN and value and value != "none"}
    if more:
        shown = ", ".join(f"{key}={value}" for key, value in list(more.items())[:_SHOWN])
        raise UserError(
            f"{path} has {shown}, which training here does not go on with; merge it into its base and train on that "
            f"(permix merge --base MODEL --adapter {path} --out MERGED; MODEL=MERGED)"
        )


def _modules(path: Path) -> tuple[str, ...]:
    """Names of the layers, from the names of the weights."""
    names = [name for name, *_ in tensors(path)]
    refuse_named_keys(names, path)
    other = [name for name in names if not name.endswith((".lora_A.weight", ".lora_B.weight"))]
    if other or not names:
        raise UserError(
            f"{path / WEIGHTS} holds {other[0] if other else 'no weights'}: LoRA weights of linear layers are what "
            "training goes on from; merge it into its base (permix merge) and train on that"
        )
    return tuple(sorted({name.rsplit(".", 3)[1] for name in names}))


def tensors(path: Path) -> Iterator[tuple[str, str, list[int], int, int]]:
    """Name, data type, shape, first and last byte (from the file's beginning) of every weight, by name.

    Raises:
        UserError: the file is not there, or it is no whole safetensors file.
    """
    file = path / WEIGHTS
    if not file.is_file():
        raise UserError(f"{path} has no {WEIGHTS}; load it with PEFT and save it with save_pretrained")
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, size)))
        header.pop("__metadata__", None)
        found = [
            (name, one["dtype"], one["shape"], *(8 + length + at for at in one["data_offsets"]))
            for name, one in sorted(header.items())
        ]
        if max((end for *_, end in found), default=0) > size:
            raise ValueError("it is cut short")
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{file} cannot be read ({error or 'no safetensors'}); copy the adapter again") from None
    yield from found


def fingerprint(path: Path) -> str:
    """Hash over rank, alpha and every weight: the same for a copy with another dropout or base path."""
    given = read_given(path)
    digest = hashlib.sha256(f"{given.rank} {given.alpha}\0".encode())
    with (path / WEIGHTS).open("rb") as stream:
        for name, dtype, shape, begin, end in tensors(path):
            digest.update(f"{name} {dtype} {shape}\0".encode())
            stream.seek(begin)
            digest.update(stream.read(end - begin))
    return digest.hexdigest()[:16]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("adapter", type=Path)
    given = read_given(parser.parse_args(argv).adapter)
    print(given.rank, given.alpha, f"[{','.join(given.modules)}]")


if __name__ == "__main__":
    exit_with_message(main)
